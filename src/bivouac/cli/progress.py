"""A line for each step, with the time it took: redrawn while it runs where a person watches, plain elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TextIO


class Progress:
    """Steps of one command. The last line says how long all of them took."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._live = self._out.isatty()
        self._started = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        return

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first step."""
        return time.monotonic() - self._started

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[Step]:
        """One step; what the body notes on it is shown behind its name. A step that raises is marked as failed."""
        step = Step(what)
        began = time.monotonic()
        if self._live:
            self._out.write(f"  ..  {what}")
            self._out.flush()
        mark = "FAIL"
        try:
            yield step
            mark = " ok "
        finally:
            text = f"{what}: {step.note}" if step.note else what
            start = "\r\x1b[K" if self._live else ""
            self._out.write(f"{start} {mark} {text:<72} {time.monotonic() - began:6.1f} s\n")
            self._out.flush()


class Step:
    """What is told about one step."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.note = ""
