"""What policy rules see of the things a call is about. A missing thing gives an empty target: who may not see all
cannot tell it from one that is not theirs."""

from typing import Any

from ...core.call import Call
from ...core.errors import BadRequest, Forbidden, NotFound
from ...core.store import Tx
from ..records import Group, Project, Role, User

Target = dict[str, Any]


def of_project(project: Project | None) -> Target:
    if project is None:
        return {}
    target: Target = {"target.project.id": project.id}
    if project.domain_id is not None:
        target["target.project.domain_id"] = project.domain_id
    return target


def of_domain(domain: Project | None) -> Target:
    return {} if domain is None else {"target.domain.id": domain.id}


def of_user(user: User | None) -> Target:
    if user is None:
        return {}
    return {"target.user.id": user.id, "target.user.domain_id": user.domain_id, "user_id": user.id}


def of_group(group: Group | None) -> Target:
    return {} if group is None else {"target.group.id": group.id, "target.group.domain_id": group.domain_id}


def of_role(role: Role | None) -> Target:
    if role is None:
        return {}
    return {"target.role.id": role.id, "target.role.name": role.name, "target.role.domain_id": role.domain_id}


def of_new(kind: str, domain_id: str | None) -> Target:
    """Something that is to be made in a domain."""
    return {} if domain_id is None else {f"target.{kind}.domain_id": domain_id}


def own_domain(call: Call) -> Target:
    """For lists: a caller with a domain scope asks for that domain."""
    return {"target.domain_id": call.caller.domain_id} if call.caller.domain_id else {}


def default_domain(call: Call, given: str | None) -> str:
    """The domain of a new thing: as given, or the scope's, or that of the scope's project."""
    return given or call.caller.domain_id or call.caller.project_domain_id or call.caller.user_domain_id


def project(tx: Tx, project_id: str) -> Project:
    """Raises NotFound."""
    found = tx.get(Project, project_id)
    if found is None:
        raise NotFound(f"Could not find project: {project_id}.")
    return found


def domain(tx: Tx, domain_id: str) -> Project:
    """Raises NotFound."""
    found = tx.get(Project, domain_id)
    if found is None or not found.is_domain:
        raise NotFound(f"Could not find domain: {domain_id}.")
    return found


def user(tx: Tx, user_id: str) -> User:
    """Raises NotFound."""
    found = tx.get(User, user_id)
    if found is None:
        raise NotFound(f"Could not find user: {user_id}.")
    return found


def group(tx: Tx, group_id: str) -> Group:
    """Raises NotFound."""
    found = tx.get(Group, group_id)
    if found is None:
        raise NotFound(f"Could not find group: {group_id}.")
    return found


def role(tx: Tx, role_id: str) -> Role:
    """Raises NotFound."""
    found = tx.get(Role, role_id)
    if found is None:
        raise NotFound(f"Could not find role: {role_id}.")
    return found


def refuse_immutable(options: dict[str, Any], changes: dict[str, Any] | None = None) -> None:
    """Resources with the option `immutable` can't be deleted, nor changed except to lift it. Raises Forbidden."""
    if not options.get("immutable"):
        return
    lifted = changes is not None and not (changes.get("options") or {}).get("immutable", True)
    if lifted and changes is not None and set(changes) == {"options"}:
        return
    raise Forbidden("The resource is immutable: unset its option `immutable` first.")


def merge_immutable(options: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The options of what has only `immutable`. Raises BadRequest."""
    if set(wanted) - {"immutable"} or not isinstance(wanted.get("immutable"), bool | None):
        raise BadRequest("The only option is immutable, true or false.")
    return merge_options(options, wanted)


def merge_options(options: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Options are set one by one; null unsets one."""
    merged = {**options, **wanted}
    return {name: value for name, value in merged.items() if value is not None}
