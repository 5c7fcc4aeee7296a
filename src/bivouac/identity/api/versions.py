"""Version documents: what a client reads before it knows anything. Source: Identity API v3, "API versions"."""

from typing import Any

from ...core.http import PUBLIC, Request, Response, Route

MEDIA_TYPE = "application/vnd.openstack.identity-v3+json"
VERSION = "v3.14"
UPDATED = "2020-04-07T00:00:00Z"
"""Both as Keystone has answered since its 17th release: the newest Identity API version there is."""


def document(request: Request) -> dict[str, Any]:
    """The entry of version 3."""
    return {
        "id": VERSION,
        "status": "stable",
        "updated": UPDATED,
        "links": [{"rel": "self", "href": f"{request.base_url}/v3/"}],
        "media-types": [{"base": "application/json", "type": MEDIA_TYPE}],
    }


async def list_versions(request: Request) -> Response:
    headers = {"Location": f"{request.base_url}/v3/", "Vary": "X-Auth-Token"}
    return Response({"versions": {"values": [document(request)]}}, 300, headers)


async def show_version(request: Request) -> Response:
    return Response({"version": document(request)}, headers={"Vary": "X-Auth-Token"})


ROUTES = [
    Route(method="GET", path="/", handler=list_versions, rule=PUBLIC, status=300),
    Route(method="GET", path="/v3", handler=show_version, rule=PUBLIC),
]
