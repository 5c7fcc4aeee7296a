"""The HTTP kernel, driven in process: routing, versions, tokens, policy, bodies, errors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from in_process import exchange
from msgspec import Struct

from bivouac.core import errors
from bivouac.core.call import Call, Caller
from bivouac.core.clock import ManualClock
from bivouac.core.http import PUBLIC, Application, Microversions, Mount, Request, Response, Route, dialects
from bivouac.core.policy import Policy, Rule
from bivouac.core.store import open_store


class NewThing(Struct, forbid_unknown_fields=True):
    name: str


async def create(request: Request) -> dict[str, Any]:
    return {"thing": {"name": request.body.name}}


async def show(request: Request, thing_id: str) -> dict[str, Any]:
    if thing_id == "gone":
        raise errors.NotFound("Thing gone could not be found.")
    if thing_id == "bug":
        raise ZeroDivisionError
    return {"thing": thing_id, "version": request.version}


async def forgot(request: Request, thing_id: str) -> None:
    return None


async def enforced_in_rule(request: Request) -> str:
    def rule(tx: object, call: Call) -> str:
        call.enforce("things:create")
        return request.mount.service

    return await request.read(rule)


async def root(request: Request) -> Response:
    return Response({"url": request.base_url}, 300)


ROUTES = [
    Route(method="GET", path="/", handler=root, rule=PUBLIC),
    Route(
        method="POST", path="/things", handler=create, rule="things:create", status=202, body=NewThing, envelope="thing"
    ),
    Route(method="GET", path="/things/detail", handler=lambda request: show(request, "detail"), rule="things:show"),
    Route(method="GET", path="/things/{thing_id}", handler=show, rule="things:show"),
    Route(method="PUT", path="/things/{thing_id}", handler=forgot, rule="things:create", late=True),
    Route(method="GET", path="/enforced", handler=enforced_in_rule, rule="things:create", late=True),
    Route(method="GET", path="/new", handler=root, rule="things:show", since=(2, 5)),
    Route(method="GET", path="/old", handler=root, rule="things:show", until=(2, 4)),
]


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    async def authenticate(token: str, request: Request) -> Caller | None:
        return Caller(user_id=token, user_name=token, project_id="p", roles=(token,)) if token != "bad" else None

    mount = Mount(
        prefix="/compute/v2.1", service_type="compute", routes=ROUTES, dialect=dialects.NOVA,
        microversions=Microversions("compute", (2, 1), (2, 9), "X-OpenStack-Nova-API-Version"),
        id_headers=("x-compute-request-id",),
        service="the service",
    )  # fmt: skip
    policy = Policy([Rule("things:create", "role:member"), Rule("things:show", "role:member or role:reader")])
    store = open_store("", tmp_path / "test.db")
    store.migrate(["bivouac.core"])
    yield Application(store=store, policy=policy, clock=ManualClock(), mounts=[mount], authenticate=authenticate)
    store.close()


def ask(
    application: Application, method: str, path: str, token: str = "member", body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], Any]:
    fields = {"host": "cloud:5000", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if token:
        fields["x-auth-token"] = token
    status, out, payload = exchange(application, method, path, fields, body)
    is_json = out.get("content-type", "").startswith("application/json")
    return status, out, json.loads(payload) if payload and is_json else payload


BASE = "/compute/v2.1"


def test_a_call_goes_through(application: Application) -> None:
    status, headers, body = ask(application, "POST", f"{BASE}/things", body=b'{"thing": {"name": "x"}}')
    assert (status, body) == (202, {"thing": {"name": "x"}})
    assert headers["x-openstack-request-id"] == headers["x-compute-request-id"]
    assert headers["openstack-api-version"] == "compute 2.1"
    assert ask(application, "GET", f"{BASE}/things/a%2Fb")[2]["thing"] == "a/b"
    assert ask(application, "GET", f"{BASE}/", token="")[::2] == (300, {"url": "http://cloud:5000/compute/v2.1"})
    assert ask(application, "HEAD", f"{BASE}/things/a")[::2] == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "token", "body", "status"),
    [
        ("GET", "/things/gone", "member", b"", 404),
        ("GET", "/nowhere", "member", b"", 404),
        ("GET", "/nowhere", "", b"", 401),
        ("GET", "/things/x", "", b"", 401),
        ("GET", "/things/x", "bad", b"", 401),
        ("DELETE", "/things/x", "member", b"", 405),
        ("GET", "/things/x", "stranger", b"", 403),
        ("POST", "/things", "reader", b"", 403),
        ("POST", "/things", "member", b"", 400),
        ("POST", "/things", "member", b"{", 400),
        ("POST", "/things", "member", b'{"thing": {}}', 400),
        ("POST", "/things", "member", b'{"thing": {"name": 1}}', 400),
        ("POST", "/things", "member", b'{"thing": {"name": "a\\u0000"}}', 400),
        ("POST", "/things", "member", b'{"thing": {"name": "a"}, "more": 1}', 400),
        ("POST", "/things", "member", b"[" * 100_000, 400),
        ("POST", "/things", "member", b"\xff\xfe", 400),
        ("GET", "/things/%00", "member", b"", 400),
        ("GET", "/things/%ff", "member", b"", 400),
        ("GET", "/things/bug", "member", b"", 500),
        ("PUT", "/things/x", "member", b"", 500),
    ],
)
def test_refusals(application: Application, method: str, path: str, token: str, body: bytes, status: int) -> None:
    answer = ask(application, method, BASE + path, token, body)
    assert answer[0] == status
    assert isinstance(answer[2], dict) and list(answer[2].values())[0]["code"] == status
    assert "Traceback" not in str(answer[2])


@pytest.mark.parametrize(
    ("headers", "status", "served"),
    [
        ({}, 200, (2, 1)),
        ({"openstack_api_version": "compute 2.7"}, 200, (2, 7)),
        ({"openstack_api_version": "volume 3.1, compute 2.7"}, 200, (2, 7)),
        ({"x_openstack_nova_api_version": "2.3"}, 200, (2, 3)),
        ({"openstack_api_version": "compute latest"}, 200, (2, 9)),
        ({"openstack_api_version": "compute 2.10"}, 406, None),
        ({"openstack_api_version": "compute two"}, 400, None),
        ({"openstack_api_version": "compute 2.01"}, 400, None),
        ({"openstack_api_version": "volume 9.9"}, 200, (2, 1)),
    ],
)
def test_versions(application: Application, headers: dict, status: int, served: tuple | None) -> None:
    answer = ask(application, "GET", f"{BASE}/things/x", **headers)
    assert answer[0] == status
    if served:
        assert tuple(answer[2]["version"]) == served
        assert answer[1]["x-openstack-nova-api-version"] == ".".join(map(str, served))


def test_a_route_exists_only_in_its_versions(application: Application) -> None:
    assert ask(application, "GET", f"{BASE}/new")[0] == 404
    assert ask(application, "GET", f"{BASE}/new", openstack_api_version="compute 2.5")[0] == 300
    assert ask(application, "GET", f"{BASE}/old", openstack_api_version="compute 2.5")[0] == 404


def test_a_rule_may_enforce_in_its_transaction(application: Application) -> None:
    assert ask(application, "GET", f"{BASE}/enforced")[::2] == (200, "the service")
    assert ask(application, "GET", f"{BASE}/enforced", token="reader")[0] == 403



def every_error() -> list[type[errors.Error]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Error)
            and kind is not errors.Error]  # fmt: skip


@pytest.mark.parametrize("dialect", dialects.ALL, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_each_error_in_each_dialect(dialect: dialects.Dialect, kind: type[errors.Error]) -> None:
    status, media_type, body = dialect.answer(kind("the reason <&>", type=""), "req-1")
    assert 400 <= status < 600
    text = body.decode()
    if media_type == "application/json":
        assert "the reason" in text and json.loads(text)
    else:
        assert "the reason &lt;&amp;&gt;" in text
