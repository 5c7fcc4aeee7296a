"""The service catalog as bytes: encoded once, then only the project's and the user's id are put in.

Source: Identity API v3, "Get service catalog"; OS-EP-FILTER for projects that see only some endpoints (a project
with no association at all sees everything).
"""

import re
import threading
from collections.abc import Iterable
from typing import Any

import msgspec

from ..core.ids import new_hex
from ..core.store import Store, Tx
from .catalog_records import Endpoint, EndpointGroup, ProjectEndpoint, ProjectEndpointGroup, Service

BELL = "identity.catalog"
CAPACITY = 256
"""Filled catalogs kept: a few KiB each."""
_PLACEHOLDER = re.compile(r"[$%]\((\w+)\)s")
_PROJECT = ("project_id", "tenant_id")


def changed(tx: Tx) -> None:
    """After the commit, build the catalogs anew."""
    tx.ring(BELL)


class Catalogs:
    """Encoded catalogs of one process. `encoded` reads the database only after a bell."""

    def __init__(self, store: Store):
        self._project_mark = new_hex().encode()
        self._user_mark = new_hex().encode()
        self._lock = threading.Lock()
        self._generation = 0
        self._templates: dict[tuple[bool, str], bytes] = {}
        """(with project, project whose filters apply) -> JSON with marks for the ids."""
        self._filtered: frozenset[str] | None = None
        self._filled: dict[tuple[str, str], bytes] = {}
        """(user, project) -> the template with their ids in it."""
        store.on_bell(self._bell)

    def _bell(self, name: str, key: str) -> None:
        if name == BELL:
            with self._lock:
                self._generation += 1
                self._templates = {}
                self._filtered = None
                self._filled = {}

    def encoded(self, tx: Tx, user_id: str, project_id: str) -> bytes:
        """The JSON list for this user and project (`project_id` empty: a scope without one)."""
        known = self.known(user_id, project_id)
        if known is not None:
            return known
        generation, filtered = self._generation, self._filtered
        if filtered is None:
            filtered = filtered_projects(tx)
        of_project = project_id if project_id in filtered else ""
        template = msgspec.json.encode(
            listing(tx, self._user_mark.decode(), self._project_mark.decode() if project_id else "", of_project)
        )
        catalog = self._fill(template, user_id, project_id)
        with self._lock:
            if generation == self._generation:
                self._filtered = filtered
                self._templates[bool(project_id), of_project] = template
        return catalog

    def known(self, user_id: str, project_id: str) -> bytes | None:
        """`encoded` when nothing has to be read for it."""
        # Taken first: a bell replaces it last, so what is made of older templates never gets into a newer one.
        filled = self._filled
        catalog = filled.get((user_id, project_id))
        if catalog is not None:
            return catalog
        filtered, templates = self._filtered, self._templates
        if filtered is None:
            return None
        template = templates.get((bool(project_id), project_id if project_id in filtered else ""))
        if template is None:
            return None
        catalog = self._fill(template, user_id, project_id)
        if len(filled) >= CAPACITY:
            filled.clear()
        filled[user_id, project_id] = catalog
        return catalog

    def _fill(self, template: bytes, user_id: str, project_id: str) -> bytes:
        return template.replace(self._project_mark, project_id.encode()).replace(self._user_mark, user_id.encode())


def filtered_projects(tx: Tx) -> frozenset[str]:
    """Ids of projects that have endpoint associations."""
    rows = tx.query("SELECT project_id FROM project_endpoints UNION SELECT project_id FROM project_endpoint_groups")
    return frozenset(row[0] for row in rows)


def listing(tx: Tx, user_id: str, project_id: str, filtered_by: str = "") -> list[dict[str, Any]]:
    """The catalog's entries. An endpoint whose URL asks for what the scope has not is left out."""
    values = {"user_id": user_id, **{name: project_id for name in _PROJECT if project_id}}
    endpoints = tx.select(Endpoint, "WHERE enabled = 1 ORDER BY id")
    if filtered_by:
        allowed = endpoint_ids_of_project(tx, filtered_by, endpoints)
        endpoints = [one for one in endpoints if one.id in allowed]
    by_service: dict[str, list[dict[str, Any]]] = {}
    for endpoint in endpoints:
        if (url := substitute(endpoint.url, values)) is not None:
            by_service.setdefault(endpoint.service_id, []).append(
                {
                    "id": endpoint.id,
                    "interface": endpoint.interface,
                    "region": endpoint.region_id,
                    "region_id": endpoint.region_id,
                    "url": url,
                }
            )
    return [
        {"endpoints": by_service.get(one.id, []), "id": one.id, "type": one.type, "name": one.name}
        for one in tx.select(Service, "WHERE enabled = 1 ORDER BY type, id")
        if not filtered_by or one.id in by_service
    ]


def substitute(url: str, values: dict[str, str]) -> str | None:
    """The URL with its placeholders filled in, or None when one has no value."""
    if any(name not in values for name in _PLACEHOLDER.findall(url)):
        return None
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], url)


def endpoint_ids_of_project(tx: Tx, project_id: str, endpoints: Iterable[Endpoint]) -> set[str]:
    """Ids of endpoints that a project is associated with, directly or by a group."""
    ids = {one.endpoint_id for one in tx.select(ProjectEndpoint, "WHERE project_id = ?", project_id)}
    groups = tx.select(
        EndpointGroup,
        f"JOIN {ProjectEndpointGroup.TABLE} j ON j.endpoint_group_id = endpoint_groups.id WHERE j.project_id = ?",
        project_id,
    )
    return ids | {one.id for group in groups for one in endpoints if matches(group.filters, one)}


def matches(filters: dict[str, Any], endpoint: Endpoint) -> bool:
    """Whether an endpoint group's filters choose the endpoint."""
    return all(getattr(endpoint, name, None) == value for name, value in filters.items())
