"""Tags of a server."""

from bivouac.core.call import Call
from bivouac.core.errors import BadRequest, NotFound
from bivouac.core.store import Tx

from ..records import join_tags
from .servers import get_server
from .tasks import require

MAX_TAGS = 50
MAX_LENGTH = 60


def add_tag(tx: Tx, call: Call, server_id: str, tag: str) -> bool:
    """Whether it was new. Raises BadRequest (bad or too many), Conflict, NotFound."""
    server = get_server(tx, call, server_id)
    require(call, server, "update_tags")
    if not tag or len(tag) > MAX_LENGTH:
        raise BadRequest(f"Tag '{tag}' is invalid. It must be 1 to {MAX_LENGTH} characters long.")
    if "," in tag or "/" in tag:
        raise BadRequest(f"Tag '{tag}' is invalid. It may hold neither comma nor slash.")
    have = server.tag_list
    if tag in have:
        return False
    if len(have) >= MAX_TAGS:
        raise BadRequest(f"The number of tags exceeded the per-server limit {MAX_TAGS}")
    tx.update(server, tags=join_tags([*have, tag]), updated_at=call.now)
    return True


def set_tags(tx: Tx, call: Call, server_id: str, tags: list[str]) -> list[str]:
    """Replace all tags. Raises Conflict, NotFound."""
    server = get_server(tx, call, server_id)
    require(call, server, "update_tags")
    return tx.update(server, tags=join_tags(tags), updated_at=call.now).tag_list


def delete_tag(tx: Tx, call: Call, server_id: str, tag: str) -> None:
    """Raises Conflict, NotFound."""
    server = get_server(tx, call, server_id)
    require(call, server, "update_tags")
    have = server.tag_list
    if tag not in have:
        raise NotFound(f"Instance {server_id} has no tag '{tag}'")
    tx.update(server, tags=join_tags([one for one in have if one != tag]), updated_at=call.now)
