"""Errors on the wire: one table of kinds and statuses, and each service's own way of writing them down.

Statuses are RFC 9110's; where a service of OpenStack differs, its dialect says so (an exceeded quota is 403 for Nova,
413 for Cinder and Glance, 409 for Neutron).
"""

import html
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from .. import errors
from ..errors import Error

STATUS: dict[type[Error], int] = {
    errors.BadRequest: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.RangeNotSatisfiable: 416,
    errors.Unprocessable: 422,
    errors.RateLimited: 429,
    errors.OverQuota: 403,
    errors.Locked: 409,
    errors.Unavailable: 503,
}

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    409: "Conflict",
    410: "Gone",
    412: "Precondition Failed",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

NOVA_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    503: "serviceUnavailable",
}

Render = Callable[[int, str, str, str, str], tuple[str, bytes]]
"""(status, message, type, detail, request id) -> (content type, body)"""


class Dialect(Struct, frozen=True):
    """How one service writes errors. `statuses` holds what differs from `STATUS`."""

    name: str
    render: Render
    statuses: dict[type[Error], int] = {}

    def status_of(self, error: Error) -> int:
        """The status of a kind of error, by the nearest class that has one."""
        for kind in type(error).__mro__:
            if kind in self.statuses:
                return self.statuses[kind]
            if kind in STATUS:
                return STATUS[kind]
        return 500

    def answer(self, error: Error, request_id: str) -> tuple[int, str, bytes]:
        """(status, content type, body)"""
        status = self.status_of(error)
        content_type, body = self.render(status, error.message, error.type, error.detail, request_id)
        return status, content_type, body


_encode = msgspec.json.Encoder().encode


def _json(tree: Any) -> tuple[str, bytes]:
    return "application/json", _encode(tree)


def _nova(status: int, message: str, type: str, detail: str, request_id: str) -> tuple[str, bytes]:
    name = NOVA_NAMES.get(status, "computeFault")
    return _json({type or name: {"code": status, "message": message}})


def _keystone(status: int, message: str, type: str, detail: str, request_id: str) -> tuple[str, bytes]:
    return _json({"error": {"code": status, "message": message, "title": TITLES.get(status, "Error")}})


_NEUTRON_TYPES = {400: "HTTPBadRequest", 401: "HTTPUnauthorized", 403: "PolicyNotAuthorized", 404: "HTTPNotFound",
                  405: "HTTPMethodNotAllowed", 409: "Conflict", 500: "HTTPInternalServerError"}  # fmt: skip


def _neutron(status: int, message: str, type: str, detail: str, request_id: str) -> tuple[str, bytes]:
    return _json(
        {"NeutronError": {"type": type or _NEUTRON_TYPES.get(status, "Error"), "message": message, "detail": detail}}
    )


def _glance(status: int, message: str, type: str, detail: str, request_id: str) -> tuple[str, bytes]:
    """WebOb's HTML page, which Glance's clients take the text from."""
    title = f"{status} {TITLES.get(status, 'Error')}"
    page = (
        f"<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n  "
        f"{html.escape(message)}<br /><br />\n\n\n </body>\n</html>"
    )
    return "text/html; charset=UTF-8", page.encode()


def _placement(status: int, message: str, type: str, detail: str, request_id: str) -> tuple[str, bytes]:
    return _json(
        {
            "errors": [
                {
                    "status": status,
                    "title": TITLES.get(status, "Error"),
                    "detail": message,
                    "code": type or "placement.undefined_code",
                    "request_id": request_id,
                }
            ]
        }
    )


NOVA = Dialect("nova", _nova)
CINDER = Dialect("cinder", _nova, {errors.OverQuota: 413})
KEYSTONE = Dialect("keystone", _keystone)
NEUTRON = Dialect("neutron", _neutron, {errors.OverQuota: 409})
GLANCE = Dialect("glance", _glance, {errors.OverQuota: 413})
PLACEMENT = Dialect("placement", _placement)
ALL = (NOVA, CINDER, KEYSTONE, NEUTRON, GLANCE, PLACEMENT)
