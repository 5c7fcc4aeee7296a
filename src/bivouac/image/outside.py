"""Fetching images from other places by HTTP, without becoming anybody's tool.

Whoever may import could otherwise make the cloud read what only the cloud can reach. So: http and https only, no
credentials in the URL; the name is resolved once, every address must be allowed, and the connection goes to that very
address; public addresses on ports 80 and 443 unless the operator's list says more; redirects are refused. TLS is
verified against the name.
"""

import asyncio
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from msgspec import Struct

from bivouac.core.errors import BadRequest, Error

BLOCK_BYTES = 1 << 20
TIMEOUT_S = 30.0
PATIENCE_S = 60.0
SLOWEST_BYTES_PER_S = 16 << 10
"""Who sends less, after a minute's patience, only keeps a place that others wait for."""
_BLOCK_S = 5.0
_PUBLIC_PORTS = (80, 443)
_threads = ThreadPoolExecutor(16, thread_name_prefix="outside")
"""Of their own: others' slow servers shall not take the threads that everybody else waits for."""
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_EVERY_PUBLIC = "*"
_METADATA = ("169.254.169.254", "fd00:ec2::254")


class FetchFailed(Error):
    """The bytes could not be had; the message says why, for the user."""


class Place(Struct, frozen=True):
    """A URL taken apart."""

    url: str
    scheme: str
    host: str
    port: int
    path: str


class Outside:
    """The way out, with the operator's list of what may be fetched."""

    def __init__(self, allow: Sequence[str]):
        self._hosts: set[tuple[str, int | None]] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._public = not allow
        for entry in allow:
            self._allow(entry.strip())

    def _allow(self, entry: str) -> None:
        if entry == _EVERY_PUBLIC:
            self._public = True
            return
        try:
            self._networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            host, colon, port = entry.rpartition(":")
            if colon and port.isdigit():
                self._hosts.add((host.strip("[]").lower(), int(port)))
            else:
                self._hosts.add((entry.lower(), None))

    def check(self, url: str) -> Place:
        """What can be said without asking anybody. Raises BadRequest."""
        refusal = BadRequest(f"URI for web-download does not pass filtering: {url[:300]}")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise refusal from None
        if parts.scheme not in ("http", "https") or not host or parts.username or not url.isprintable() or " " in url:
            raise refusal
        port = port or (443 if parts.scheme == "https" else 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        place = Place(url, parts.scheme, host, port, path)
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            if host == "localhost" and not self._named(place):
                raise refusal from None
            if not (self._named(place) or self._networks or (self._public and port in _PUBLIC_PORTS)):
                raise refusal from None
            return place
        if not self._permits(place, address):
            raise refusal
        return place

    def _named(self, place: Place) -> bool:
        return bool({(place.host, place.port), (place.host, None)} & self._hosts)

    def _permits(self, place: Place, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        """Whether this address may be connected to for the place."""
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if self._named(place) or any(address in network for network in self._networks):
            return str(address) not in _METADATA
        return self._public and place.port in _PUBLIC_PORTS and _is_public(address)

    async def fetch(self, url: str) -> "Fetched":
        """Open a URL. Raises BadRequest (not permitted), FetchFailed."""
        place = self.check(url)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise FetchFailed(f"The name {place.host} cannot be resolved.") from error
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if not self._permits(place, ipaddress.ip_address(address.partition("%")[0])):
                raise FetchFailed(f"URI for web-download does not pass filtering: {place.host} is at {address}.")
        return await loop.run_in_executor(_threads, _open, place, addresses[0])


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it is everybody's: of IPv6 only global unicast, and nothing that leads to an IPv4 address (RFC 3056, RFC
    4380, RFC 6052), which may be a private one."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in _GLOBAL_UNICAST or address.sixtofour is not None or address.teredo is not None
    ):
        return False
    return address.is_global and not address.is_multicast


class Fetched:
    """An answer that is being read. `size` is None when the other side does not say."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse):
        self._connection = connection
        self._response = response
        length = response.headers.get("content-length", "")
        self.size = int(length) if length.isascii() and length.isdigit() else None

    async def stream(self) -> AsyncIterator[bytes]:
        """The bytes, in blocks; closes the connection. Raises FetchFailed when it breaks off or hardly gets on."""
        loop = asyncio.get_running_loop()
        received, begun = 0, time.monotonic()
        try:
            while block := await loop.run_in_executor(_threads, self._read_block):
                received += len(block)
                taken = time.monotonic() - begun
                if taken > PATIENCE_S and received < taken * SLOWEST_BYTES_PER_S:
                    raise FetchFailed(f"The transfer is too slow: {received} bytes in {taken:.0f} seconds.")
                yield block
        except (OSError, http.client.HTTPException) as error:
            raise FetchFailed(f"The transfer broke off after {received} bytes.") from error
        finally:
            self.close()
        if self.size is not None and received != self.size:
            raise FetchFailed(f"The transfer broke off after {received} of {self.size} bytes.")

    def _read_block(self) -> bytes:
        """A whole block, or what came in a few seconds; empty at the end."""
        parts, size, until = [], 0, time.monotonic() + _BLOCK_S
        while size < BLOCK_BYTES and (part := self._response.read1(BLOCK_BYTES - size)):
            parts.append(part)
            size += len(part)
            if time.monotonic() > until:
                break
        return b"".join(parts)

    def close(self) -> None:
        self._connection.close()


def _open(place: Place, address: str) -> Fetched:
    """Connect to the address, ask for the path. Raises FetchFailed."""
    connection = http.client.HTTPConnection(place.host, place.port, timeout=TIMEOUT_S)
    try:
        link = socket.create_connection((address, place.port), timeout=TIMEOUT_S)
        if place.scheme == "https":
            link = ssl.create_default_context().wrap_socket(link, server_hostname=place.host)
        connection.sock = link
        connection.request("GET", place.path, headers={"User-Agent": "bivouac-image", "Accept-Encoding": "identity"})
        response = connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        raise FetchFailed(f"{place.host} cannot be reached: {type(error).__name__}.") from error
    if response.status != 200:
        connection.close()
        what = "a redirect, which is refused" if 300 <= response.status < 400 else "an error"
        raise FetchFailed(f"{place.host} answered with {response.status}, {what}.")
    return Fetched(connection, response)
