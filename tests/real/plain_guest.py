"""A guest started by hand: plain QEMU with user-mode networking, no cloud around it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

PASSWORD = "gocubsgo"
BOOT_LIMIT_S = 120
Seen = TypeVar("Seen")
_SSH_OPTIONS = [
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
    *("-o", "ConnectTimeout=10", "-o", "IdentitiesOnly=yes", "-o", "NumberOfPasswordPrompts=1"),
]


def wait_for(what: str, look: Callable[[], Seen], timeout_s: float = BOOT_LIMIT_S) -> Seen:
    """The first true answer of `look`; fails saying what was waited for and what was seen last."""
    deadline = time.monotonic() + timeout_s
    seen = look()
    while not seen:
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s:.0f} s; seen last: {seen!r}")
        time.sleep(0.1)
        seen = look()
    return seen


@contextlib.contextmanager
def metadata_service(answers: Mapping[str, str]) -> Iterator[int]:
    """An HTTP server on loopback with these answers by path; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len((body or "").encode())))
            self.end_headers()
            self.wfile.write((body or "").encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class PlainGuest:
    """One running QEMU. The guest is 169.254.169.15 on a network whose metadata service is the given port."""

    def __init__(self, folder: Path, boot: list[str], metadata_port: int | None = None, memory_mib: int = 256) -> None:
        self.folder = folder
        self.ssh_port = _free_port()
        self.key = folder / "id_ed25519"
        network = f"user,id=n0,net=169.254.169.0/24,host=169.254.169.2,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22"
        if metadata_port is not None:
            network += f",guestfwd=tcp:169.254.169.254:80-cmd:busybox nc 127.0.0.1 {metadata_port}"
        self._monitor = folder / "qmp.sock"
        self._agent = folder / "agent.sock"
        self.console = folder / "console.log"
        self._process = subprocess.Popen(
            [
                *("qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-cpu", "Nehalem,+rdrand"),
                *("-m", str(memory_mib)),
                *("-nodefaults", "-vga", "std", "-display", "none", "-no-reboot", "-serial", f"file:{self.console}"),
                *("-qmp", f"unix:{self._monitor},server=on,wait=off", "-device", "virtio-rng-pci"),
                *("-netdev", network, "-device", "virtio-net-pci,netdev=n0,romfile="),
                *("-chardev", f"socket,id=agent,path={self._agent},server=on,wait=off", "-device", "virtio-serial-pci"),
                *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
                *boot,
            ],
            stdin=subprocess.DEVNULL,
        )

    def __enter__(self) -> PlainGuest:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def wait_for_console(self, text: str, timeout_s: float = BOOT_LIMIT_S) -> str:
        """The whole console once it holds `text`."""

        def look() -> str:
            assert self._process.poll() is None, f"the guest ended: {self._console_text()[-2000:]}"
            return self._console_text() if text in self._console_text() else ""

        return wait_for(f"{text!r} on the console", look, timeout_s)

    def _console_text(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def make_key(self) -> str:
        """A new key pair; the public key's line."""
        return self.new_key(self.folder)

    @staticmethod
    def new_key(folder: Path) -> str:
        """A key pair for the guest that will run in this folder; the public key's line."""
        key = folder / "id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        return key.with_suffix(".pub").read_text().strip()

    def ssh(self, command: str, user: str = "cirros", password: str | None = None) -> str:
        """What the command printed, logging in with the key or with a password. Fails when it fails."""
        options = [*_SSH_OPTIONS, "-p", str(self.ssh_port), "-l", user]
        environment = dict(os.environ)
        if password is None:
            options += ["-i", str(self.key), "-o", "PreferredAuthentications=publickey"]
        else:
            answer = self.folder / "answer"
            answer.write_text(f"#!/bin/sh\necho '{password}'\n")
            answer.chmod(0o700)
            options += ["-o", "PreferredAuthentications=password", "-o", "PubkeyAuthentication=no"]
            environment |= {"SSH_ASKPASS": str(answer), "SSH_ASKPASS_REQUIRE": "force"}
        done = subprocess.run(
            ["ssh", *options, "127.0.0.1", command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command!r} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def monitor(self, command: str, **arguments: Any) -> Any:
        """One QMP command's answer."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(30)
            link.connect(str(self._monitor))
            lines = link.makefile("rw")
            lines.readline()
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                answer = _next_answer(lines)
        return answer

    def agent(self, command: str, **arguments: Any) -> Any:
        """One command's answer from the guest agent."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(30)
            link.connect(str(self._agent))
            lines = link.makefile("rw")
            lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            lines.flush()
            return _next_answer(lines)

    def wait_for_end(self) -> None:
        """Wait until the guest has powered itself off."""
        wait_for("the guest's end", lambda: self._process.poll() is not None, 60)


def _next_answer(lines: Any) -> Any:
    for line in lines:
        message = json.loads(line)
        if "error" in message:
            raise AssertionError(message["error"])
        if "return" in message:
            return message["return"]
    raise AssertionError("the link ended without an answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def overlay(base: Path, disk: Path, size: str) -> Path:
    """A disk of this size on top of `base`."""
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base), str(disk), size], check=True
    )
    return disk
