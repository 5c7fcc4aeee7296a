"""OpenAPI 3.1 documents, generated from the route tables: what is declared is what is documented and fuzzed."""

import re
from typing import Any

import msgspec

from .kernel import Mount
from .routing import PUBLIC, Route, Version

_PARAMETER = re.compile(r"{(\w+)(?::rest)?}")


def document(mount: Mount, version: Version | None = None) -> dict[str, Any]:
    """The operations of a mount, at one microversion (the newest by default)."""
    if version is None:
        version = mount.microversions.maximum if mount.microversions else (0, 0)
    routes = [
        route
        for route in mount.routes
        if route.method != "WEBSOCKET" and (mount.microversions is None or route.fits(version))
    ]
    bodies = [route.body for route in routes if route.body is not None]
    schemas, components = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip((id(route) for route in routes if route.body is not None), schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in routes:
        path = mount.prefix + _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(mount, route, schema_of.get(id(route)))
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Bivouac {mount.service_type}", "version": ".".join(map(str, version))},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
    }


def _operation(mount: Mount, route: Route, schema: Any) -> dict[str, Any]:
    lines = (route.handler.__doc__ or "").strip().splitlines()
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{route.method} {mount.service_type} {route.path}").strip("_").lower(),
        "summary": lines[0] if lines else route.handler.__name__.replace("_", " "),
        "x-policy": route.rule,
        "security": [] if route.rule == PUBLIC else [{"token": []}],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in _PARAMETER.findall(route.path)
        ],
        "responses": {str(route.status): {"description": "as asked"}, "default": {"description": "an error"}},
    }
    if schema is not None:
        if route.envelope:
            schema = {"type": "object", "properties": {route.envelope: schema}, "required": [route.envelope]}
        content = {media_type: {"schema": schema} for media_type in route.media_types}
        operation["requestBody"] = {"required": not route.optional_body, "content": content}
    return operation
