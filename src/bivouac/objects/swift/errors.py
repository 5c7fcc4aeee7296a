"""Refusals on the wire, and the one table from the store's refusals to Swift's answers."""

from __future__ import annotations

from bivouac.core.http1 import BodyTooLarge, Response
from bivouac.objects.identity import Unavailable
from bivouac.objects.sealed import Sealed
from bivouac.objects.store import errors as store

TITLES = {
    400: (
        "Bad Request",
        "The server could not comply with the request since it is either malformed or otherwise incorrect.",
    ),
    401: ("Unauthorized", "This server could not verify that you are authorized to access the document you requested."),
    403: ("Forbidden", "Access was denied to this resource."),
    404: ("Not Found", "The resource could not be found."),
    405: ("Method Not Allowed", "The method is not allowed for this resource."),
    406: ("Not Acceptable", "The resource identified is only capable of generating other content."),
    408: ("Request Timeout", "The server has waited too long for the request to be sent by the client."),
    409: ("Conflict", "There was a conflict when trying to complete your request."),
    411: ("Length Required", "Content-Length header required."),
    412: ("Precondition Failed", "A precondition for this request was not met."),
    413: ("Request Entity Too Large", "The body of your request was too large for this server."),
    416: ("Requested Range Not Satisfiable", "The Range requested is not available."),
    422: ("Unprocessable Entity", "Unable to process the contained instructions"),
    429: ("Too Many Requests", "Too many requests, try again later."),
    498: ("Rate Limited", "Too many requests, try again later."),
    500: ("Internal Error", "The server has either erred or is incapable of performing the requested operation."),
    503: ("Service Unavailable", "The server is currently unavailable. Please try again at a later time."),
    507: ("Insufficient Storage", "There was not enough space to save the resource. The store is full."),
}


class Refusal(Exception):
    """An answer that ends the request. Without `text` the body is Swift's own page for the status."""

    def __init__(self, status: int, text: str | None = None, headers: list[tuple[str, str]] | None = None) -> None:
        super().__init__(text or str(status))
        self.status, self.text, self.headers = status, text, headers or []

    def response(self) -> Response:
        if self.text is not None:
            body = self.text.encode("utf-8", "surrogateescape")
        else:
            title, text = TITLES[self.status]
            body = f"<html><h1>{title}</h1><p>{text}</p></html>".encode()
        # Swift says that its texts are HTML; what a browser could take for a tag is not.
        kind = "text/plain" if self.text is not None and "<" in self.text else "text/html"
        told = [] if "Content-Type" in dict(self.headers) else [("Content-Type", f"{kind}; charset=UTF-8")]
        return Response(self.status, [*told, *self.headers], body)


# class -> status; text None means the page of the status
_STORE_ERRORS: list[tuple[type[Exception], int, str | None]] = [
    (store.NoSuchContainer, 404, None),
    (store.NoSuchObject, 404, None),
    (store.NoSuchUpload, 404, None),
    (store.ContainerNotEmpty, 409, None),
    (store.ContainerExists, 409, None),
    (store.PreconditionFailed, 412, None),
    (store.ObjectLocked, 403, "The object is locked."),
    (store.RangeInvalid, 416, None),
    (store.InvalidPart, 400, None),
    (store.StoreFull, 507, None),
    (store.StoreFailed, 503, None),
    (store.DataCorrupt, 503, "The stored bytes do not have the checksum they were stored with."),
    (BodyTooLarge, 413, None),
    (Unavailable, 503, "Identity cannot be asked now, and what was known of this token is too old."),
]


def refusal(error: Exception) -> Refusal | None:
    """The answer to an error of the store; None if it is none of its refusals."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, Sealed):
        return Refusal(403, str(error))
    if isinstance(error, store.QuotaExceeded):
        return Refusal(413, "Upload exceeds quota.")
    for kind, status, text in _STORE_ERRORS:
        if isinstance(error, kind):
            return Refusal(status, text)
    return None
