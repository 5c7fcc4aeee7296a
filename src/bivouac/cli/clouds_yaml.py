"""The `clouds.yaml` that OpenStack's clients read: our entries are put in, everybody else's stay as they are.

The file is changed as text, so comments, order and quoting of other entries survive; the result is read back and
compared before it replaces the old one. Source: openstacksdk, "Configuring OpenStack SDK Applications".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ENTRIES: tuple[str, str] = ("bivouac", "bivouac-admin")


class CloudsFileError(Exception):
    """The file cannot be changed without risk for what else is in it."""


def put_entries(path: Path, entries: Mapping[str, Mapping[str, Any]], owner: tuple[int, int] | None = None) -> bool:
    """Make the file hold these entries; True when it had to be changed. Raises CloudsFileError and OSError.

    `owner` is given to a new file. A file that holds a password is its owner's alone to read.
    """
    old = path.read_text() if path.exists() else ""
    new = _without(old, set(entries))
    block = "".join(_block(name, entry, _indent(new)) for name, entry in entries.items())
    match = re.search(r"^clouds:[ \t]*(#.*)?$", new, re.MULTILINE)
    if match:
        new = new[: match.end()] + "\n" + block.rstrip("\n") + new[match.end() :]
    elif re.search(r"^clouds:", new, re.MULTILINE):
        raise CloudsFileError(f"{path} writes `clouds` on one line; put it on several, then run this again")
    else:
        new = new + ("\n" if new and not new.endswith("\n") else "") + "clouds:\n" + block
    _check(path, old, new, entries)
    if new == old:
        return False
    _replace(path, new, owner)
    return True


def remove_entries(path: Path) -> None:
    """Take our entries out again; a file in which nothing else stood goes too. Raises OSError."""
    if not path.exists():
        return
    old = path.read_text()
    new = _without(old, set(ENTRIES))
    if not new.replace("clouds:", "").strip():
        path.unlink()
    elif new != old:
        _replace(path, new, None)


def _indent(text: str) -> str:
    """The indentation of the entries below `clouds:`."""
    match = re.search(r"^clouds:[ \t]*(?:#.*)?\n(?:[ \t]*(?:#.*)?\n)*([ ]+)\S", text, re.MULTILINE)
    return match.group(1) if match else "  "


def _block(name: str, entry: Mapping[str, Any], indent: str) -> str:
    """One entry as YAML; every value is written as JSON, which YAML contains."""
    return f"{indent}{name}:\n" + "".join(_lines(entry, indent * 2))


def _lines(entry: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in entry.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key}:\n"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{key}: {json.dumps(value)}\n"


def _without(text: str, names: set[str]) -> str:
    """The text without the blocks of these entries below `clouds:`."""
    indent = _indent(text)
    kept: list[str] = []
    inside_clouds = dropping = False
    for line in text.splitlines(keepends=True):
        if re.match(r"\S", line) and not line.startswith("#"):
            inside_clouds, dropping = line.startswith("clouds:"), False
        elif inside_clouds and (match := re.match(rf"{indent}(\S[^:]*):", line)):
            dropping = match.group(1).strip("'\"") in names
        elif not line.startswith(indent + " "):
            # A blank line or a comment at the entries' depth belongs to what follows.
            dropping = False
        if not dropping:
            kept.append(line)
    return "".join(kept)


def _check(path: Path, old: str, new: str, entries: Mapping[str, Mapping[str, Any]]) -> None:
    import yaml

    try:
        before, after = yaml.safe_load(old) or {}, yaml.safe_load(new)
        clouds = {**(before.get("clouds") or {}), **{name: dict(entry) for name, entry in entries.items()}}
        if after != {**before, "clouds": clouds}:
            raise CloudsFileError(f"{path} is laid out in a way that cannot be changed safely")
    except (yaml.YAMLError, AttributeError) as error:
        raise CloudsFileError(f"{path} is not a clouds.yaml: {error}") from error


def _replace(path: Path, text: str, owner: tuple[int, int] | None) -> None:
    if path.exists():
        status = path.stat()
        owner = (status.st_uid, status.st_gid)
    for folder in (path.parent.parent, path.parent):
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700)
            if owner:
                os.chown(folder, *owner)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
    if owner:
        os.chown(temporary, *owner)
    temporary.replace(path)
