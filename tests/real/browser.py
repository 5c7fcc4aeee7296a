"""A real browser without a window, driven over a pipe by the Chrome DevTools Protocol.

Source: chromedevtools.github.io/devtools-protocol; with `--remote-debugging-pipe` messages are JSON that ends in NUL,
read from descriptor 3 and written to 4, so no port is needed and the browser may live in a network namespace.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ANSWER_LIMIT_S = 60
PROGRAMS = ("chromium", "google-chrome", "chrome")
# As root there is no sandbox; /dev/shm may be small in containers.
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
           "--disable-background-networking", "--remote-debugging-pipe", "--window-size=1200,900")  # fmt: skip
KEYS = {"\n": ("Enter", 13, "\r")}


class Browser:
    """One browser. `inside` are words before its command, to run it in a namespace."""

    def __init__(self, inside: Sequence[str] = (), options: Sequence[str] = ()) -> None:
        program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
        if program is None:
            pytest.skip("no Chromium is installed (apt-get install chromium)")
        self.folder = Path(tempfile.mkdtemp(prefix="bivouac-browser-"))
        read, self._write = _pipe()
        self._read, write = _pipe()
        command = [*inside, program, *OPTIONS, f"--user-data-dir={self.folder}", *options, "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec 3<&{read} 4>&{write} {read}<&- {write}>&-; exec "$@"', "browser", *command],
            pass_fds=(read, write),
            env={**os.environ, "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("wb"),
            start_new_session=True,
        )
        os.close(read)
        os.close(write)
        self._number = 0
        self._buffer = b""

    def open(self, url: str) -> Page:
        """A new page at this address."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        page.go(url)
        return page

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """The result of one command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + ANSWER_LIMIT_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            assert data, f"the browser does not answer: {(self.folder / 'log').read_text(errors='replace')[-2000:]}"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def close(self) -> None:
        """End it and remove its profile."""
        os.close(self._write)
        os.close(self._read)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _pipe() -> tuple[int, int]:
    """A pipe's ends, neither with a number that the browser's own ends will have."""
    ends = os.pipe()
    higher = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return higher[0], higher[1]


class Page:
    """One page."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def go(self, url: str) -> None:
        """Load an address."""
        answer = self.call("Page.navigate", url=url)
        assert not answer.get("errorText"), f"{url}: {answer['errorText']}"

    def value(self, expression: str) -> Any:
        """What JavaScript gives for it (a promise is awaited); None while the page is not that far."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return None if "exceptionDetails" in answer else answer["result"].get("value")

    def type(self, text: str) -> None:
        """Press and release the keys of a text."""
        for letter in text:
            # A sign's character code would be another key's number: 45 is both "-" and Insert.
            code = ord(letter.upper()) if letter.isalnum() else 0
            key, code, typed = KEYS.get(letter, (letter, code, letter))
            fields = {"key": key, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=typed, **fields)
            self.call("Input.dispatchKeyEvent", type="keyUp", **fields)

    def picture(self) -> bytes:
        """A screenshot as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
