"""HTTP as the command line needs it: the control process over its Unix socket, and the cloud's APIs like any client.

Only the standard library, so that a command is up in a few hundredths of a second.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

TIMEOUT_S = 60.0
_CHUNK_BYTES = 1 << 20


class ApiError(Exception):
    """The cloud refused, or could not be reached. `status` is 0 when there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask_control(control_socket: Path, path: str, timeout_s: float = 1.0) -> Any:
    """A document from control over its Unix socket. Raises ApiError when it does not answer."""
    try:
        with contextlib.closing(_UnixConnection(control_socket, timeout_s)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ApiError(f"control does not answer on {control_socket}: {error}") from error
    if answer.status >= 400:
        raise ApiError(f"control answered {answer.status} to {path}", answer.status)
    return json.loads(body)


def connect(url: str, authority: Path | None, timeout_s: float) -> http.client.HTTPConnection:
    """A connection to the server of a URL. Over TLS the `authority` is trusted too, where there is one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, parts.port, timeout=timeout_s, blocksize=_CHUNK_BYTES)
    context = _trusting(authority if authority is not None and authority.exists() else None)
    return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, blocksize=_CHUNK_BYTES, context=context)


@functools.cache
def _trusting(authority: Path | None) -> ssl.SSLContext:
    """A context that trusts this authority beside the system's; reading those takes longer than a request."""
    import ssl

    context = ssl.create_default_context()
    if authority is not None:
        context.load_verify_locations(authority)
    return context


def answers(url: str, authority: Path | None = None, timeout_s: float = 2.0) -> bool:
    """Whether a GET of this address is answered with 200."""
    parts = urlsplit(url)
    try:
        connection = connect(url, authority, timeout_s)
        with contextlib.closing(connection):
            connection.request("GET", parts.path or "/")
            return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


@dataclass
class Cloud:
    """The cloud's APIs for one user in one project. A token is asked for at the first call, and again when it expires.

    `auth_url` is the identity endpoint, `http://127.0.0.1:5000/identity/v3`; `authority` is trusted over TLS.
    """

    auth_url: str
    user: str
    password: str
    project: str
    domain: str = "Default"
    authority: Path | None = None
    timeout_s: float = TIMEOUT_S
    _token: str = ""
    _catalog: dict[str, str] = field(default_factory=dict)
    project_id: str = ""
    user_id: str = ""

    def log_in(self) -> None:
        """Ask for a token and the catalog. Raises ApiError."""
        domain = {"name": self.domain}
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": self.user, "password": self.password, "domain": domain}},
                },
                "scope": {"project": {"name": self.project, "domain": domain}},
            }
        }
        _, headers, answer = self._send("POST", f"{self.auth_url}/auth/tokens", {}, body)
        self._token = headers.get("X-Subject-Token", "")
        token = answer["token"]
        self.project_id, self.user_id = token["project"]["id"], token["user"]["id"]
        self._catalog = {
            service["type"]: endpoint["url"].rstrip("/")
            for service in token.get("catalog", [])
            for endpoint in service["endpoints"]
            if endpoint["interface"] == "public"
        }

    def endpoint(self, *service_types: str) -> str:
        """The public endpoint of the first of these service types that the catalog has. Raises ApiError."""
        if not self._token:
            self.log_in()
        for service_type in service_types:
            if service_type in self._catalog:
                return self._catalog[service_type]
        raise ApiError(f"the catalog has no {service_types[0]} service")

    def get(self, base: str, path: str, **headers: str) -> Any:
        """The document at `base` + `path`."""
        return self.call("GET", base, path, None, **headers)

    def post(self, base: str, path: str, body: Any, **headers: str) -> Any:
        """The answer to a POST."""
        return self.call("POST", base, path, body, **headers)

    def call(self, method: str, base: str, path: str, body: Any = None, **headers: str) -> Any:
        """One request with the token; a refused token is renewed once. Raises ApiError with the cloud's own words."""
        for attempt in (1, 2):
            if not self._token:
                self.log_in()
            sent = {"X-Auth-Token": self._token, **{name.replace("_", "-"): value for name, value in headers.items()}}
            try:
                return self._send(method, base + path, sent, body)[2]
            except ApiError as error:
                if error.status != 401 or attempt == 2:
                    raise
                self._token = ""
        raise AssertionError("unreachable")

    def upload(self, base: str, path: str, content: BinaryIO, size: int) -> None:
        """PUT a file's bytes. Raises ApiError."""
        headers = {
            "X-Auth-Token": self._token,
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
        }
        self._send("PUT", base + path, headers, content)

    def _send(self, method: str, url: str, headers: dict[str, str], body: Any) -> tuple[int, Any, Any]:
        parts = urlsplit(url)
        sent = {"Accept": "application/json", **headers}
        content = body
        if body is not None and not hasattr(body, "read"):
            content = json.dumps(body).encode()
            sent["Content-Type"] = sent.get("Content-Type", "application/json")
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            connection = connect(url, self.authority, self.timeout_s)
            with contextlib.closing(connection):
                connection.request(method, target, content, sent)
                answer = connection.getresponse()
                text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(f"{method} {url}: {error}") from error
        if answer.status >= 400:
            raise ApiError(f"{method} {parts.path} was refused: {_reason(text)} ({answer.status})", answer.status)
        is_json = "json" in (answer.getheader("Content-Type") or "")
        return answer.status, answer.headers, json.loads(text) if text and is_json else text


def _reason(text: bytes) -> str:
    """The message in an error body of any of the services."""
    try:
        document = json.loads(text)
    except ValueError:
        return text.decode(errors="replace")[:300]
    while isinstance(document, dict) and document:
        inner = next((document[key] for key in ("message", "error") if key in document), None)
        document = next(iter(document.values())) if inner is None else inner
    return str(document)[:500]
