"""What versions of the Compute API there are. These answer without a token."""

from typing import Any

from bivouac.core.http import PUBLIC, Microversions, Request, Route

MICROVERSIONS = Microversions("compute", (2, 1), (2, 96), "X-OpenStack-Nova-API-Version")
_UPDATED = {"v2.0": "2011-01-21T11:33:21Z", "v2.1": "2013-07-23T11:33:21Z"}


def _base(request: Request) -> str:
    base = request.base_url
    for tail in ("/v2.1", "/v2"):
        base = base.removesuffix(tail)
    return base


def _entry(request: Request, id: str) -> dict[str, Any]:
    newest = id == "v2.1"
    return {
        "id": id,
        "status": "CURRENT" if newest else "SUPPORTED",
        "version": ".".join(map(str, MICROVERSIONS.maximum)) if newest else "",
        "min_version": ".".join(map(str, MICROVERSIONS.minimum)) if newest else "",
        "updated": _UPDATED[id],
        "links": [{"rel": "self", "href": f"{_base(request)}/{'v2.1' if newest else 'v2'}/"}],
    }


async def listing(request: Request) -> dict[str, Any]:
    return {"versions": [_entry(request, id) for id in ("v2.0", "v2.1")]}


def _one(request: Request, id: str) -> dict[str, Any]:
    entry = _entry(request, id)
    entry["links"].append(
        {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}
    )
    media_type = f"application/vnd.openstack.compute+json;version={id[1:].replace('2.0', '2')}"
    entry["media-types"] = [{"base": "application/json", "type": media_type}]
    return {"version": entry}


async def show(request: Request) -> dict[str, Any]:
    return _one(request, "v2.1")


async def show_old(request: Request) -> dict[str, Any]:
    return _one(request, "v2.0")


ROOT_ROUTES = [
    Route(method="GET", path="/", handler=listing, rule=PUBLIC),
    Route(method="GET", path="/v2", handler=show_old, rule=PUBLIC),
]
ROUTES = [Route(method="GET", path="/", handler=show, rule=PUBLIC)]
