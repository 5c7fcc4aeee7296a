"""The life of an image: which status allows what. The documentation's diagram is drawn from this table.

queued -> saving -> active            an upload
queued -> uploading -> importing -> active    staged, then imported
queued -> importing -> active         imported from elsewhere
active <-> deactivated                bytes withheld
Whatever fails on the way goes back to queued; a snapshot that fails is killed.
"""

from bivouac.core.errors import Conflict

TRANSITIONS: dict[tuple[str, str], str] = {
    ("queued", "upload"): "saving",
    ("saving", "finish"): "active",
    ("saving", "fail"): "queued",
    ("queued", "stage"): "uploading",
    ("uploading", "fail"): "queued",
    ("uploading", "import_staged"): "importing",
    ("queued", "import"): "importing",
    ("queued", "add_location"): "active",
    ("importing", "finish"): "active",
    ("importing", "fail"): "queued",
    ("active", "copy"): "active",
    ("active", "deactivate"): "deactivated",
    ("deactivated", "deactivate"): "deactivated",
    ("deactivated", "reactivate"): "active",
    ("active", "reactivate"): "active",
    ("queued", "kill"): "killed",
    ("saving", "kill"): "killed",
}

STATUSES = ("queued", "saving", "uploading", "importing", "active", "deactivated", "killed", "deleted",
            "pending_delete")  # fmt: skip
"""As Glance's schema lists them; deleted images are gone here, so nobody meets the last two."""
UNDER_WAY = ("saving", "uploading", "importing")

_WORDS = {"upload": "uploaded to", "stage": "staged", "import_staged": "imported", "import": "imported",
          "add_location": "given locations", "copy": "copied", "deactivate": "deactivated",
          "reactivate": "reactivated", "finish": "finished", "fail": "given up", "kill": "given up"}  # fmt: skip


def after(status: str, action: str) -> str:
    """The status that follows. Raises Conflict."""
    following = TRANSITIONS.get((status, action))
    if following is None:
        allowed = sorted(before for before, verb in TRANSITIONS if verb == action)
        raise Conflict(
            f"The image is {status} and cannot be {_WORDS[action]} now; it can be when it is {' or '.join(allowed)}."
        )
    return following
