"""Tags on every resource. Source: Neutron's API reference, "Standard Attributes Tag Extension"."""

from bivouac.core.call import Call
from bivouac.core.errors import NotFound
from bivouac.core.store import Tx

from ..records import Network, Port, Standard
from .standard import get, invalid, target, touch

MOST_TAGS = 50
LONGEST_TAG = 255


def tags_of(tx: Tx, call: Call, row_class: type[Standard], id: str) -> list[str]:
    """The tags. Raises NotFound."""
    return get(tx, call, row_class, id).tags


def has(tx: Tx, call: Call, row_class: type[Standard], id: str, tag: str) -> None:
    """Nothing when the tag is there. Raises NotFound."""
    if tag not in get(tx, call, row_class, id).tags:
        raise NotFound(f"Tag {tag} could not be found.", type="TagNotFound")


def replace(tx: Tx, call: Call, row_class: type[Standard], id: str, rule: str, tags: list[str]) -> list[str]:
    """Set all tags. Raises NotFound, BadRequest, Forbidden."""
    row = _writable(tx, call, row_class, id, rule)
    return touch(tx, call, row, tags=_checked(tags)).tags


def add(tx: Tx, call: Call, row_class: type[Standard], id: str, rule: str, tags: list[str]) -> None:
    """Add tags; those there already are fine. Raises NotFound, BadRequest, Forbidden."""
    row = _writable(tx, call, row_class, id, rule)
    touch(tx, call, row, tags=_checked([*row.tags, *tags]))


def remove(tx: Tx, call: Call, row_class: type[Standard], id: str, rule: str, tag: str) -> None:
    """Remove one tag. Raises NotFound (the tag too), Forbidden."""
    row = _writable(tx, call, row_class, id, rule)
    if tag not in row.tags:
        raise NotFound(f"Tag {tag} could not be found.", type="TagNotFound")
    touch(tx, call, row, tags=[one for one in row.tags if one != tag])


def _writable(tx: Tx, call: Call, row_class: type[Standard], id: str, rule: str) -> Standard:
    row = get(tx, call, row_class, id)
    network = tx.get(Network, row.network_id) if isinstance(row, Port) else None
    call.enforce(rule, target(row, network_project_id=network.project_id if network else row.project_id))
    return row


def _checked(tags: list[str]) -> list[str]:
    unique = sorted(set(tags))
    if len(unique) > MOST_TAGS:
        raise invalid(f"The number of tags exceed the maximum {MOST_TAGS}", "InvalidInput")
    for tag in unique:
        if not 1 <= len(tag) <= LONGEST_TAG or "," in tag:
            raise invalid(f"Invalid input for tags. Reason: '{tag}' is not a tag.", "HTTPBadRequest")
    return unique
