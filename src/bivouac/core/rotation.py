"""Logs that end: files that other programs append to are kept below a size, with a few older ones beside them."""

import contextlib
import os
import shutil
from pathlib import Path


def keep_below(path: Path, max_bytes: int, older: int) -> None:
    """Put the content of a log that has reached `max_bytes` aside as PATH.1, the last one as PATH.2, up to `older`.

    The writers append to an open file, so its content is copied and then cut; what is written in between is lost.
    Nothing is raised: a log is not worth a failure.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size < max_bytes:
            return
        for age in range(older - 1, 0, -1):
            kept = path.with_name(f"{path.name}.{age}")
            if kept.exists():
                kept.replace(path.with_name(f"{path.name}.{age + 1}"))
        shutil.copy2(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
