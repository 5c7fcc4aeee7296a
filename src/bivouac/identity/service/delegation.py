"""What callers with borrowed rights may not do, and reading roles from bodies."""

from collections.abc import Sequence

from msgspec import Struct

from ...core.call import Call
from ...core.errors import BadRequest, Forbidden, NotFound
from ...core.store import Tx
from ..records import Role


class RoleName(Struct):
    """A role by id, or by name and perhaps domain."""

    id: str | None = None
    name: str | None = None
    domain_id: str | None = None


def refuse_borrowed(call: Call) -> None:
    """Who acts under a trust, an OAuth access token or a restricted application credential may not delegate further
    or manage delegation. Raises Forbidden."""
    who = call.caller
    if who.oauth_access_token_id:
        raise Forbidden("A token of an OAuth consumer may not do this.")
    if who.trust_id:
        raise Forbidden("A token of a trust may not do this.")
    refuse_restricted(call)


def refuse_restricted(call: Call) -> None:
    """Restricted application credentials manage no application credentials, trusts or secrets. Raises Forbidden."""
    if call.caller.restricted:
        raise Forbidden(
            "A restricted application credential may not manage application credentials, trusts or other credentials: "
            "use a password, or one made with unrestricted."
        )


def resolve(tx: Tx, wanted: Sequence[RoleName]) -> list[Role]:
    """The roles of a body. Raises BadRequest, NotFound."""
    found: list[Role] = []
    for one in wanted:
        if one.id:
            role = tx.get(Role, one.id)
        elif one.name:
            role = tx.first(Role, "WHERE name = ? AND domain_id IS NULL", one.name)
        else:
            raise BadRequest("Each role needs an id or a name.")
        if role is None:
            raise NotFound(f"Could not find role: {one.id or one.name}.")
        if role not in found:
            found.append(role)
    return found
