"""Version documents: which versions of the API there are, and where."""

from typing import Any

from bivouac.core.http import PUBLIC, Request, Response, Route

NEWEST = 18
CURRENT = f"2.{NEWEST}"
SUPPORTED = tuple(f"2.{minor}" for minor in range(NEWEST - 1, -1, -1))


def _document(request: Request) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{request.base_url}/v2/"}]
    versions = [{"id": f"v{CURRENT}", "status": "CURRENT", "links": links}]
    return {"versions": versions + [{"id": f"v{one}", "status": "SUPPORTED", "links": links} for one in SUPPORTED]}


async def choices(request: Request) -> Response:
    """The versions, as a choice to make."""
    return Response(_document(request), 300)


async def list_versions(request: Request) -> dict[str, Any]:
    """The versions."""
    return _document(request)


ROUTES = [
    Route(method="GET", path="/", handler=choices, rule=PUBLIC, status=300),
    Route(method="GET", path="/versions", handler=list_versions, rule=PUBLIC),
    Route(method="GET", path="/v2", handler=choices, rule=PUBLIC, status=300),
]
