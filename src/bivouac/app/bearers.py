"""Who a token or an access key stands for, told to the object store on the internal socket.

Only processes of control's own user reach that socket; that is why the secret of an access key may be told: the
object store checks
signatures itself, at the rate of its requests.
"""

from bivouac.core.errors import NotFound
from bivouac.core.http import PUBLIC, Mount, Request, Response, Route
from bivouac.identity.authenticate import Authenticator


def bearers_mount(authenticator: Authenticator) -> Mount:
    async def token(request: Request) -> Response:
        """The caller of the token in X-Subject-Token; 404 when it does not count."""
        proven = await authenticator.prove(request.header(b"x-subject-token"))
        if proven is None:
            raise NotFound("The token does not count.")
        return Response({"caller": proven.caller})

    async def access_key(request: Request, access: str) -> Response:
        """The caller and the secret of an EC2 access key; 404 when it does not count."""
        proven = await authenticator.access_key(access)
        if proven is None:
            raise NotFound("The access key does not count.")
        return Response({"caller": proven.caller, "secret": proven.access_secret})

    routes = [
        Route(method="GET", path="/token", handler=token, rule=PUBLIC),
        Route(method="GET", path="/access-key/{access}", handler=access_key, rule=PUBLIC),
    ]
    return Mount(prefix="/bearers", service_type="bearers", routes=routes)
