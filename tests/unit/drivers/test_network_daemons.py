"""Supervision of network daemons, with one of our own that is slow to listen."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from bivouac.drivers.net.ovn import daemons
from bivouac.drivers.net.ovn.daemons import Daemon, Supervisor

SLOW = """
import os, socket, sys, time
pidfile = next(word.partition("=")[2] for word in sys.argv if word.startswith("--pidfile="))
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
with open(pidfile, "w") as file:
    file.write(str(os.getpid()))
time.sleep(0.3)
listener.listen()
time.sleep(60)
"""


def test_a_daemon_has_started_when_it_listens_not_when_its_socket_is_there(tmp_path: Path) -> None:
    path = tmp_path / "daemon.sock"

    async def main() -> None:
        daemon = Daemon("slow", (sys.executable, "-c", SLOW, str(path)), ready=path)
        supervisor = Supervisor(tmp_path, [daemon], {})
        try:
            await supervisor.start("slow")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
        finally:
            await supervisor.shutdown()

    asyncio.run(main())


def test_the_daemons_logs_are_kept_below_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemons, "MAX_LOG_BYTES", 100)
    supervisor = Supervisor(tmp_path, [Daemon("talker", ("talker",)), Daemon("silent", ("silent",))], {})
    with (tmp_path / "talker.log").open("ab", buffering=0) as writer:
        for number in range(5):
            writer.write(b"%d" % number * 100)
            supervisor.bound_logs()
        writer.write(b"last words")
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert kept == {"talker.log": b"last words", "talker.log.1": b"4" * 100, "talker.log.2": b"3" * 100}
