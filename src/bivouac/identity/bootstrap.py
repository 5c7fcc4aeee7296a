"""First-time set-up: default domain, roles, administrator, regions, services and endpoints. May be run on every start.

What exists is left as it is, passwords included; only the URLs of the cloud's own endpoints follow the settings.
"""

from collections.abc import Iterable

from msgspec import Struct

from ..core.ids import new_hex
from ..core.store import Tx
from . import catalog, revocation, tokens
from .catalog_records import Endpoint, Region, Service
from .passwords import make_hash
from .records import ImpliedRole, Project, Role, RoleAssignment, User
from .service.effective import SYSTEM

DEFAULT_DOMAIN_ID = "default"
ROLES = ("reader", "member", "manager", "admin", "service", "ResellerAdmin")
IMPLIED = (("admin", "manager"), ("manager", "member"), ("member", "reader"))
INTERFACES = ("public", "internal", "admin")


class ServiceUrl(Struct, frozen=True):
    """A service of this cloud: catalog type, name, and its URL, which may hold `$(project_id)s`."""

    type: str
    name: str
    url: str
    description: str = ""


class Made(Struct, frozen=True):
    """Ids of the administrator's things."""

    admin_user_id: str
    admin_project_id: str
    service_project_id: str


def bootstrap(
    tx: Tx,
    *,
    now: float,
    admin_password: str,
    services: Iterable[ServiceUrl],
    region: str = "RegionOne",
) -> Made:
    """Make what is missing. `admin_password` counts only when the user `admin` does not exist yet."""
    tokens.rotate(tx, now)
    if tx.get(Project, DEFAULT_DOMAIN_ID) is None:
        tx.insert(
            Project(id=DEFAULT_DOMAIN_ID, name="Default", is_domain=True, description="The default domain")
        )
    roles = {name: _role(tx, name) for name in ROLES}
    for prior, implied in IMPLIED:
        tx.upsert(ImpliedRole(prior_role_id=roles[prior].id, implied_role_id=roles[implied].id))
    admin_project = _project(tx, "admin", "The administrators' project")
    service_project = _project(tx, "service", "The services' project")
    admin = tx.first(User, "WHERE domain_id = ? AND name = 'admin'", DEFAULT_DOMAIN_ID)
    if admin is None:
        admin = tx.insert(
            User(
                id=new_hex(), name="admin", domain_id=DEFAULT_DOMAIN_ID, created_at=now,
                password_hash=make_hash(admin_password), password_created_at=now, password_set_by_user=True,
            )
        )  # fmt: skip
    for kind, target in (("project", admin_project.id), ("system", SYSTEM)):
        tx.upsert(
            RoleAssignment(
                actor_type="user", actor_id=admin.id, target_type=kind, target_id=target, role_id=roles["admin"].id
            )
        )
    _catalog(tx, services, region)
    revocation.forget_everything(tx)
    return Made(admin.id, admin_project.id, service_project.id)


def _role(tx: Tx, name: str) -> Role:
    found = tx.first(Role, "WHERE name = ? AND domain_id IS NULL", name)
    options = {"immutable": True} if name in ("reader", "member", "manager", "admin", "service") else {}
    return found or tx.insert(Role(id=new_hex(), name=name, options=options))


def _project(tx: Tx, name: str, description: str) -> Project:
    found = tx.first(Project, "WHERE domain_id = ? AND name = ?", DEFAULT_DOMAIN_ID, name)
    return found or tx.insert(
        Project(
            id=new_hex(), name=name, domain_id=DEFAULT_DOMAIN_ID, parent_id=DEFAULT_DOMAIN_ID, description=description
        )
    )


def _catalog(tx: Tx, services: Iterable[ServiceUrl], region: str) -> None:
    """One service per type and name, with the same URL on the three interfaces in the region."""
    if tx.get(Region, region) is None:
        tx.insert(Region(id=region))
    for one in services:
        service = tx.first(Service, "WHERE type = ? AND name = ?", one.type, one.name)
        if service is None:
            service = tx.insert(
                Service(id=new_hex(), type=one.type, name=one.name, description=one.description or None)
            )
        for interface in INTERFACES:
            endpoint = tx.first(
                Endpoint, "WHERE service_id = ? AND interface = ? AND region_id = ? ORDER BY id",
                service.id, interface, region,
            )  # fmt: skip
            if endpoint is None:
                tx.insert(
                    Endpoint(id=new_hex(), service_id=service.id, interface=interface, url=one.url, region_id=region)
                )
            else:
                tx.update(endpoint, url=one.url)
    catalog.changed(tx)
