"""A Swift endpoint as a source: OpenStack's, Ceph's, another Bivouac's.

Who asks is proved by Keystone (version 3, password) or by TempAuth (version 1). Large objects, static and dynamic, are
brought as one object each; their segments come too, in the container that they are in.
"""

from __future__ import annotations

import json
import threading
from typing import Any
from urllib.parse import quote

import msgspec

from bivouac.objects.importing.connection import Answer, Origin
from bivouac.objects.importing.source import (
    Entry,
    Fetched,
    SourceError,
    Vanished,
    kept_headers,
    plain_md5,
    with_prefix,
)

AT_ONCE = 1000


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """As the variables OS_AUTH_URL, OS_USERNAME ... say it, or ST_AUTH, ST_USER and ST_KEY (then without a project)."""

    auth_url: str
    username: str
    password: str
    project_name: str = ""
    user_domain_name: str = "Default"
    project_domain_name: str = "Default"
    region_name: str = ""

    def ask(self) -> tuple[str, str]:
        """(the account's address, a token). Raises SourceError."""
        return self._version_3() if self.project_name else self._version_1()

    def _version_1(self) -> tuple[str, str]:
        origin = Origin(self.auth_url)
        answer = origin.ask("GET", origin.path, {"X-Auth-User": self.username, "X-Auth-Key": self.password})
        answer.whole()
        if answer.status not in (200, 204):
            raise SourceError(f"{self.auth_url} answered {answer.status}")
        return answer.headers["x-storage-url"], answer.headers["x-auth-token"]

    def _version_3(self) -> tuple[str, str]:
        user = {"name": self.username, "password": self.password, "domain": {"name": self.user_domain_name}}
        project = {"name": self.project_name, "domain": {"name": self.project_domain_name}}
        asked: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
        asked["scope"] = {"project": project}
        origin = Origin(self.auth_url)
        body = json.dumps({"auth": asked}).encode()
        answer = origin.ask("POST", f"{origin.path}/auth/tokens", {"Content-Type": "application/json"}, body)
        text = answer.whole()
        if answer.status != 201:
            raise SourceError(f"{self.auth_url} answered {answer.status}: {text[:300].decode('utf-8', 'replace')}")
        for service in json.loads(text)["token"].get("catalog", []):
            for endpoint in service["endpoints"] if service["type"] == "object-store" else ():
                if endpoint["interface"] == "public" and self.region_name in ("", endpoint["region_id"]):
                    return endpoint["url"], answer.headers["x-subject-token"]
        raise SourceError(f"the catalog of {self.auth_url} has no public object-store endpoint")


class SwiftSource:
    """The account that a login leads to."""

    global_names = False

    def __init__(self, login: Login) -> None:
        self._login, self._lock = login, threading.Lock()
        self._url, self._token = login.ask()
        self._origin = Origin(self._url)
        self.name = f"swift {self._url}"

    def containers(self) -> list[str]:
        found: list[str] = []
        while lines := self._list("", found[-1] if found else ""):
            found += [line["name"] for line in lines]
        return found

    def page(self, container: str, marker: str) -> list[Entry]:
        lines = self._list(f"/{quote(container)}", marker)
        return [Entry(line["name"], line["bytes"], f"{line['hash']} {line['last_modified']}") for line in lines]

    def fetch(self, container: str, name: str) -> Fetched:
        answer = self._ask(f"/{quote(container)}/{quote(name)}", f"{container}/{name}")
        headers = answer.headers
        large = "x-static-large-object" in headers or "x-object-manifest" in headers
        expires = headers.get("x-delete-at", "")
        if "content-length" not in headers:
            answer.close()
            raise SourceError(f"{container}/{name} has no length")
        return Fetched(
            size=int(headers["content-length"]),
            content_type=headers.get("content-type", "application/octet-stream"),
            read=answer.read,
            close=answer.close,
            md5="" if large else plain_md5(headers.get("etag", "").strip('"')),
            metadata=with_prefix(headers, "x-object-meta-"),
            headers=kept_headers(headers),
            expires_at=int(expires) if expires.isdigit() else None,
        )

    def close(self) -> None:
        self._origin.close()

    def _list(self, path: str, marker: str) -> list[dict[str, Any]]:
        answer = self._ask(f"{path}?format=json&limit={AT_ONCE}&marker={quote(marker, safe='')}", path or "the account")
        body = answer.whole()
        try:
            lines = json.loads(body) if body else []
            return [line for line in lines if "subdir" not in line]
        except ValueError as error:
            raise SourceError(f"the source answered no JSON: {error}") from error

    def _ask(self, target: str, what: str) -> Answer:
        """A GET with our token, with a new one if it has expired. Raises SourceError, Vanished."""
        token = self._token
        answer = self._origin.ask("GET", self._origin.path + target, {"X-Auth-Token": token})
        if answer.status == 401:
            answer.whole()
            with self._lock:
                if self._token == token:
                    _, self._token = self._login.ask()
            answer = self._origin.ask("GET", self._origin.path + target, {"X-Auth-Token": self._token})
        if answer.status in (200, 204):
            return answer
        text = answer.whole()[:300].decode("utf-8", "replace")
        if answer.status == 404:
            raise Vanished(what)
        raise SourceError(f"{self._origin.host} answered {answer.status} to GET {what}: {text}")
