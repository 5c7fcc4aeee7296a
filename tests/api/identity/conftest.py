"""A cloud with only Identity in it, driven in process."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from in_process import exchange

from bivouac.core.clock import ManualClock
from bivouac.core.http import Application
from bivouac.core.policy import Policy
from bivouac.core.settings import Identity as IdentitySettings
from bivouac.core.settings import Security, Settings
from bivouac.core.store import Store
from bivouac.identity.api import mount
from bivouac.identity.bootstrap import Made, ServiceUrl, bootstrap
from bivouac.identity.identity import Identity
from bivouac.identity.policy import POLICY

ADMIN_PASSWORD = "correct horse"
SERVICES = (
    ServiceUrl("identity", "keystone", "http://cloud:5000/identity"),
    ServiceUrl("compute", "nova", "http://cloud:5000/compute/v2.1"),
    ServiceUrl("volumev3", "cinder", "http://cloud:5000/volume/v3/$(project_id)s"),
)


class Answer:
    """Status, headers and decoded body."""

    def __init__(self, status: int, headers: dict[str, str], body: Any):
        self.status = status
        self.headers = headers
        self.body = body

    def __getitem__(self, key: str) -> Any:
        return self.body[key]

    def __repr__(self) -> str:
        return f"{self.status} {self.body}"


def run_rules_twice(store: Store) -> None:
    """Let each writing rule run and be rolled back before it runs for good, as after a serialisation failure: a rule
    that changes what it is given, or anything but rows, is found out by every test."""
    write = store.engine.write

    def twice(rule: Any, args: Any, actor: Any, plan: bool) -> Any:
        with contextlib.suppress(Exception):
            write(rule, args, actor, True).result()
        return write(rule, args, actor, plan)

    store.engine.write = twice


class Cloud:
    """The application and a client of it."""

    def __init__(self, store: Store, security: Security, state: Path, limit_model: Any = "flat"):
        self.store = store
        run_rules_twice(store)
        self.clock = ManualClock()
        self.settings = Settings(
            state=str(state), security=security, identity=IdentitySettings(limit_model=limit_model)
        )
        self.made: Made = store.write_now(
            lambda tx: bootstrap(tx, now=self.clock.now(), admin_password=ADMIN_PASSWORD, services=SERVICES)
        )
        self.identity = Identity(store, self.clock, self.settings)
        self.application = Application(
            store=store, policy=Policy(POLICY), clock=self.clock, mounts=[mount(self.identity)],
            authenticate=self.identity.authenticator,
        )  # fmt: skip
        self.tokens: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str) -> Answer:
        """One request below `/identity`; the token is the administrator's unless another (or "") is given."""
        if token is None:
            token = self.admin
        fields = {"host": "cloud:5000", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token:
            fields["x-auth-token"] = token
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        status, out, payload = exchange(self.application, method, "/identity" + path, fields, content)
        is_json = out.get("content-type") == "application/json"
        return Answer(status, out, json.loads(payload) if payload and is_json else payload or None)

    def get(self, path: str, token: str | None = None, **headers: str) -> Answer:
        return self.ask("GET", path, None, token, **headers)

    def post(self, path: str, body: Any = None, token: str | None = None, **headers: str) -> Answer:
        return self.ask("POST", path, body, token, **headers)

    def put(self, path: str, body: Any = None, token: str | None = None) -> Answer:
        return self.ask("PUT", path, body, token)

    def patch(self, path: str, body: Any, token: str | None = None) -> Answer:
        return self.ask("PATCH", path, body, token)

    def delete(self, path: str, token: str | None = None, **headers: str) -> Answer:
        return self.ask("DELETE", path, None, token, **headers)

    # --- logging in ----------------------------------------------------------------------------------------------

    def login(self, user_id: str, password: str, scope: Any = None) -> Answer:
        """POST /v3/auth/tokens with a password."""
        auth: dict[str, Any] = {
            "identity": {"methods": ["password"], "password": {"user": {"id": user_id, "password": password}}}
        }
        if scope is not None:
            auth["scope"] = scope
        return self.post("/v3/auth/tokens", {"auth": auth}, "")

    def token(self, user_id: str, password: str, **scope: Any) -> str:
        """A token; `project=ID`, `domain=ID`, `system=True` or nothing."""
        wanted = {name: {"all": True} if name == "system" else {"id": value} for name, value in scope.items()}
        answer = self.login(user_id, password, wanted or None)
        assert answer.status == 201, answer
        return answer.headers["x-subject-token"]

    @property
    def admin(self) -> str:
        """The administrator's token for the project admin; a new one each half hour of the clock."""
        slot = str(self.clock.now() // 1800)
        if slot not in self.tokens:
            self.tokens[slot] = self.token(
                self.made.admin_user_id, ADMIN_PASSWORD, project=self.made.admin_project_id
            )
        return self.tokens[slot]

    # --- making things -------------------------------------------------------------------------------------------

    def make(self, kind: str, path: str = "", **fields: Any) -> Any:
        """POST one resource: `make("user", name="x")`."""
        answer = self.post(path or f"/v3/{kind}s", {kind: fields})
        assert answer.status == 201, answer
        return answer[kind]

    def role(self, name: str) -> str:
        """Id of a role."""
        sql = "SELECT id FROM roles WHERE name = ? AND domain_id IS NULL"
        return self.store.read_now(lambda tx: tx.value(sql, name))

    def assign(self, user_id: str, role: str, target: str) -> None:
        """`assign(user, "member", "projects/ID")`, `"domains/ID"` or `"system"`."""
        answer = self.put(f"/v3/{target}/users/{user_id}/roles/{self.role(role)}")
        assert answer.status == 204, answer


@pytest.fixture
def make_cloud(make_store: Callable[..., Store], tmp_path: Path) -> Iterator[Callable[..., Cloud]]:
    """Gives a function that makes a cloud with these rules for passwords, and this model of limits."""

    def make(limit_model: str = "flat", **security: Any) -> Cloud:
        return Cloud(make_store("bivouac.identity"), Security(**security), tmp_path, limit_model)

    yield make


@pytest.fixture
def cloud(make_cloud: Callable[..., Cloud]) -> Cloud:
    return make_cloud()
