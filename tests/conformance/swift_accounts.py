"""Make what Swift's functional tests expect of an identity service, and print their configuration.

`swift_accounts.py AUTH_URL ADMIN_PASSWORD`. The projects and users are those of the suite's sample.conf, as they are
with Keystone: user 3 has a role without rights, user 4 is of another domain, user 6 is a reseller's administrator. The
catalog then names the object store without its mount, because the suite takes the path for `/v1/ACCOUNT`; both are
served.
"""

from __future__ import annotations

import http.client
import json
import sys
from typing import Any
from urllib.parse import urlsplit

USERS = (
    # number in the configuration, user, project, roles
    ("", "tester", "test", ("member",)),
    ("2", "tester2", "test2", ("member",)),
    ("3", "tester3", "test", ("anotherrole",)),
    ("6", "tester6", "test", ("ResellerAdmin",)),
)
OTHER_DOMAIN = ("4", "tester4", "test4", ("member",))


class Identity:
    """The v3 API as its administrator."""

    def __init__(self, url: str, password: str) -> None:
        parts = urlsplit(url)
        self._host, self._path, self._token = parts.netloc, parts.path, ""
        default = {"id": "default"}
        user = {"name": "admin", "domain": default, "password": password}
        scope = {"project": {"name": "admin", "domain": default}}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
        self._token = self._send("POST", "/auth/tokens", {"auth": auth})[1]["X-Subject-Token"]

    def _send(self, method: str, path: str, body: Any = None) -> tuple[Any, Any]:
        connection = http.client.HTTPConnection(self._host)
        headers = {"Content-Type": "application/json", "X-Auth-Token": self._token}
        connection.request(method, self._path + path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text) if text else None, answer.headers

    def make(self, kind: str, **fields: Any) -> str:
        """The id of a new resource, or of the one that has its name already."""
        found = self._send("GET", f"/{kind}s?name={fields['name']}")[0][f"{kind}s"]
        if found:
            return found[0]["id"]
        return self._send("POST", f"/{kind}s", {kind: fields})[0][kind]["id"]

    def unmount(self, service_type: str) -> None:
        """Take the mount out of a service's addresses."""
        [service] = self._send("GET", f"/services?type={service_type}")[0]["services"]
        for endpoint in self._send("GET", f"/endpoints?service_id={service['id']}")[0]["endpoints"]:
            url = endpoint["url"].replace(f"/{service_type}", "")
            self._send("PATCH", f"/endpoints/{endpoint['id']}", {"endpoint": {"url": url}})

    def grant(self, user: str, project: str, role: str) -> None:
        self._send("PUT", f"/projects/{project}/users/{user}/roles/{role}")


def main(url: str, password: str) -> None:
    identity = Identity(url, password)
    other = identity.make("domain", name="test-domain")
    lines = [
        "[func_test]", "auth_version = 3", f"auth_uri = {url}/", "collate = C",
        "domain4 = test-domain",
    ]  # fmt: skip
    for number, user, project, roles in (*USERS, OTHER_DOMAIN):
        domain = other if number == "4" else "default"
        project_id = identity.make("project", name=project, domain_id=domain)
        user_id = identity.make("user", name=user, domain_id=domain, password=f"testing{number}")
        for role in roles:
            identity.grant(user_id, project_id, identity.make("role", name=role))
        lines += [f"account{number} = {project}", f"username{number} = {user}", f"password{number} = testing{number}"]
    identity.unmount("object-store")
    print("\n".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
