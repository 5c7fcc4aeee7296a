"""`/v3/domains/{domain_id}/config`. Source: Identity API v3, "Domain configuration"."""

from typing import Any

from ...core.http import Request, Response, Route
from ..identity import identity_of
from ..service import domain_config as rules


async def show_config(request: Request, domain_id: str, group: str = "", option: str = "") -> dict[str, Any]:
    if group == rules.COMPLIANCE:
        security = identity_of(request).settings.security
        found = await request.read(rules.compliance, domain_id, option or None, security)
    else:
        found = await request.read(rules.get, domain_id, group or None, option or None)
    return {"config": found}


async def create_config(request: Request, domain_id: str) -> Response:
    config, is_new = await request.write(rules.create, domain_id, request.body)
    return Response({"config": config}, 201 if is_new else 200)


async def update_config(request: Request, domain_id: str, group: str = "", option: str = "") -> dict[str, Any]:
    config = await request.write(rules.update, domain_id, group or None, option or None, request.body)
    return {"config": config}


async def delete_config(request: Request, domain_id: str, group: str = "", option: str = "") -> None:
    await request.write(rules.delete, domain_id, group or None, option or None)


async def show_default(request: Request, group: str = "", option: str = "") -> dict[str, Any]:
    return {"config": await request.read(rules.default, group or None, option or None)}


_ONE = "/v3/domains/{domain_id}/config"
_PATHS = (_ONE, f"{_ONE}/{{group}}", f"{_ONE}/{{group}}/{{option}}")
_DEFAULTS = tuple(f"/v3/domains/config{part}/default" for part in ("", "/{group}", "/{group}/{option}"))
ROUTES = [
    Route(method="PUT", path=_ONE, handler=create_config, rule="identity:create_domain_config", late=True, status=201,
          body=dict[str, Any], envelope="config"),
    *(Route(method="GET", path=path, handler=show_config, rule="identity:get_domain_config", late=True)
      for path in _PATHS),
    *(Route(method="PATCH", path=path, handler=update_config, rule="identity:update_domain_config", late=True,
            body=dict[str, Any], envelope="config") for path in _PATHS),
    *(Route(method="DELETE", path=path, handler=delete_config, rule="identity:delete_domain_config", late=True,
            status=204) for path in _PATHS),
    *(Route(method="GET", path=path, handler=show_default, rule="identity:get_domain_config_default", late=True)
      for path in _DEFAULTS),
]  # fmt: skip
