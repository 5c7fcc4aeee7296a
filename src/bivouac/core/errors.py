"""The errors a rule may raise: about a dozen kinds, no status codes.

Each carries a public message: the reason and what to do about it. `core/http/dialects` turns a kind into the status
and the body of the service's own wire format. Nothing else decides statuses.
"""


class Error(Exception):
    """Base of everything a client is told.

    `type` is the name some dialects show (Neutron's `NetworkNotFound`, S3's `NoSuchKey`); `detail` is a second
    public text where the dialect has room for one; `headers` are added to the answer.
    """

    def __init__(self, message: str, *, type: str = "", detail: str = "", headers: dict[str, str] | None = None):
        super().__init__(message)
        self.message = message
        self.type = type
        self.detail = detail
        self.headers = headers or {}


class BadRequest(Error):
    """The request is not of the form that the API promises to take."""


class Unauthorized(Error):
    """Nobody is known by what was presented."""


class Forbidden(Error):
    """Somebody is known, and may not do this."""


class NotFound(Error):
    """It does not exist, or it is not visible to the caller: the two are not told apart."""


class MethodNotAllowed(Error):
    """The resource exists and has no such verb."""


class NotAcceptable(Error):
    """The version or media type asked for is not offered."""


class Conflict(Error):
    """It contradicts the state of the resource, or a name is taken."""


class Gone(Error):
    """It existed, and is known to be deleted for good."""


class PreconditionFailed(Error):
    """An If-... condition of the request does not hold."""


class TooLarge(Error):
    """The body or a part of it exceeds a limit."""


class RangeNotSatisfiable(Error):
    """No byte of the asked range exists."""


class UnsupportedMediaType(Error):
    """The body's content type is not one that the operation reads."""


class Unprocessable(Error):
    """Well-formed, and of a meaning that cannot be carried out."""


class OverQuota(Error):
    """A quota of the project would be exceeded."""


class Locked(Error):
    """The resource is locked against its user (Nova's server lock answers 409, Keystone's 423 is not used)."""


class RateLimited(Error):
    """Too many requests; the answer carries Retry-After."""


class Unavailable(Error):
    """A part of the cloud that is needed does not answer now; trying again is right."""
