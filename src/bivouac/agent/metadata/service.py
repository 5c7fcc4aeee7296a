"""Answers to guests: a pure function of who asks and what for."""

import os
from collections.abc import Callable
from urllib.parse import unquote

from msgspec import Struct

from bivouac.hostspec.network import NetworkSpec
from bivouac.hostspec.server import ServerSpec

from . import amazon, openstack
from .passwords import MAX_BYTES, GuestPasswords


class Reply(Struct, frozen=True):
    status: int
    body: bytes = b""
    media_type: str = "text/plain; charset=utf-8"


NOT_FOUND = Reply(404, b"404 Not Found\n")


class MetadataService:
    """What this host knows to answer. `servers` and `networks` look a spec up by id."""

    def __init__(
        self,
        servers: Callable[[str], ServerSpec | None],
        networks: Callable[[str], NetworkSpec | None],
        passwords: GuestPasswords,
    ):
        self._servers = servers
        self._networks = networks
        self._passwords = passwords

    def answer(self, network_id: str, source: str, method: str, target: str, body: bytes = b"") -> Reply:
        """The reply to a request that came on a network from an address."""
        network = self._networks(network_id)
        spec = self._servers(network.servers.get(source, "")) if network is not None else None
        if spec is None or spec.metadata is None or spec.power == "absent":
            return NOT_FOUND
        path = [part for part in unquote(target.partition("?")[0]).split("/") if part]
        if path[:1] == ["openstack"] and path[2:] == ["password"] and len(path) == 3:
            return self._password(spec, path[1], method, body)
        if method not in ("GET", "HEAD"):
            return Reply(405, b"405 Method Not Allowed\n")
        found = self._read(spec, path)
        if found is None:
            return NOT_FOUND
        return Reply(200, found, "application/json" if path and path[-1].endswith(".json") else Reply(200).media_type)

    def _read(self, spec: ServerSpec, path: list[str]) -> bytes | None:
        metadata = spec.metadata
        assert metadata is not None
        if not path:
            return "\n".join([*amazon.VERSIONS]).encode()
        if path[0] in amazon.VERSIONS:
            return amazon.answer(spec.id, metadata, path[1:])
        if path[0] != "openstack":
            return None
        if len(path) == 1:
            return "\n".join([*openstack.VERSIONS, openstack.LATEST]).encode()
        if path[1] == "content" and len(path) == 3:
            files = openstack.files_of(metadata)
            number = int(path[2]) if path[2].isascii() and path[2].isdecimal() else len(files)
            return files[number][1] if number < len(files) else None
        if path[1] not in (*openstack.VERSIONS, openstack.LATEST):
            return None
        if len(path) == 2:
            return "\n".join(openstack.names(metadata, path[1])).encode()
        if len(path) == 3:
            seed = os.urandom(openstack.SEED_BYTES)
            return openstack.document(spec.id, metadata, path[1], path[2], seed)
        return None

    def _password(self, spec: ServerSpec, version: str, method: str, body: bytes) -> Reply:
        assert spec.metadata is not None
        known = version in (*openstack.VERSIONS, openstack.LATEST)
        if not known or "password" not in openstack.names(spec.metadata, version):
            return NOT_FOUND
        if method in ("GET", "HEAD"):
            return Reply(200, self._passwords.get(spec.id).encode())
        if method != "POST":
            return Reply(405, b"405 Method Not Allowed\n")
        if len(body) > MAX_BYTES:
            return Reply(400, b"Request is too large.\n")
        if not self._passwords.tell(spec.id, body.decode("ascii", "replace")):
            return Reply(409, b"There is a password already.\n")
        return Reply(200)
