"""What a cloud made outside its state directory, so that `destroy` removes that and nothing else."""

from __future__ import annotations

import json

from .layout import Layout


def remember(layout: Layout, kind: str, name: str) -> None:
    """Note that this cloud made a thing of this kind: `user`, `clouds_yaml`, `link`."""
    entries = made(layout)
    if (kind, name) in entries:
        return
    path = layout.state / "made.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps([*entries, (kind, name)]))
    temporary.replace(path)


def made(layout: Layout) -> list[tuple[str, str]]:
    """All that was noted, in order."""
    try:
        return [(kind, name) for kind, name in json.loads((layout.state / "made.json").read_text())]
    except (OSError, ValueError):
        return []
