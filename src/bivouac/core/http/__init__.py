"""The HTTP kernel: declared operations on ASGI 3, without a web framework.

A service is a table of `Route`s under a prefix, with a dialect for its errors and, where it has them, microversions.
For each request the kernel routes, negotiates the version, checks the token, checks the route's policy rule, decodes
the body into the route's Struct, calls the handler and wraps what it returns. Handlers are thin: they unpack, run
one rule through `request.read` or `request.write`, and shape the answer.

- A route's `rule` is "" (public: no token), or a policy rule's name. The rule is checked before the handler against
  the caller's own project and the path's parameters; with `late=True` the handler itself calls
  `request.enforce(target)`, or its rule `call.enforce(name, target)`, and an answer without either is refused by the
  kernel, so that no route goes unguarded.
- A handler returns a value (encoded as JSON with the route's status), None (no body) or a `Response`.
- Source of the version headers: API SIG guideline "Microversion Specification".
"""

from .dialects import Dialect
from .kernel import Application, Mount
from .request import Request, Response, WebSocket
from .routing import PUBLIC, Microversions, Route

__all__ = [
    "PUBLIC",
    "Application",
    "Dialect",
    "Microversions",
    "Mount",
    "Request",
    "Response",
    "Route",
    "WebSocket",
]
