"""Every operation on an image x every state of it x every role: who sees it, who may, and what is answered otherwise.

The table below says it once, in words of its own and not by the policy; all combinations are generated from it.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from image_cloud import CALLERS, Cloud
from msgspec import Struct

from bivouac.core.call import Caller
from bivouac.core.store import Tx
from bivouac.image.records import ImageRow, MemberRow

OWNER, SHARED_WITH = "p1", "p2"
UNSHARED = ("private", "community", "public")
SHARES = ("", "pending", "accepted", "rejected")
WHO = {
    "admin": CALLERS["admin"],
    "member": CALLERS["member"],
    "reader": CALLERS["reader"],
    "nobody": CALLERS["nobody"],
    "other": CALLERS["other"],
    "other-reader": Caller(user_id="rob", user_name="rob", project_id=SHARED_WITH, roles=("reader",)),
    "stranger": Caller(user_id="eve", user_name="eve", project_id="p3", roles=("reader", "member")),
    "service": CALLERS["service"],
}
OCTETS = "application/octet-stream"
PATCH = "application/openstack-images-v2.1-json-patch"


class State(Struct, frozen=True):
    """An image of p1; `share` is what p2 said to it, empty when it is not shared with p2."""

    visibility: str
    share: str
    status: str
    protected: bool


STATES = [
    State(visibility, share, status, protected)
    for visibility, share in [*(("shared", share) for share in SHARES), *((one, "") for one in UNSHARED)]
    for status in ("queued", "active", "deactivated")
    for protected in (False, True)
]


class Case(Struct, frozen=True):
    """Somebody before an image."""

    who: Caller
    state: State

    @property
    def is_admin(self) -> bool:
        return "admin" in self.who.roles

    @property
    def sees(self) -> bool:
        if self.is_admin:
            return True
        invited = self.who.project_id == SHARED_WITH and bool(self.state.share)
        return "reader" in self.who.roles and (
            self.who.project_id == OWNER or self.state.visibility in ("public", "community") or invited
        )

    @property
    def changes(self) -> bool:
        return self.is_admin or (self.who.project_id == OWNER and "member" in self.who.roles)

    @property
    def serves(self) -> bool:
        return self.is_admin or "service" in self.who.roles

    @property
    def queued(self) -> bool:
        return self.state.status == "queued"

    @property
    def active(self) -> bool:
        return self.state.status == "active"

    @property
    def is_shared(self) -> bool:
        return self.state.visibility == "shared"


class Operation(Struct, frozen=True):
    """A request, and what it is answered with to whoever sees the image; the others get 404."""

    method: str
    path: str
    answer: Callable[[Case], int]
    body: Any = None
    media_type: str = ""


def download(case: Case) -> int:
    if not case.is_admin and ("member" not in case.who.roles or case.state.status == "deactivated"):
        return 403
    return 204 if case.queued else 200


def receive(done: int) -> Callable[[Case], int]:
    return lambda case: 403 if not case.changes else done if case.queued else 409


def show_member(case: Case) -> int:
    return 200 if case.is_shared and case.state.share else 404


def set_member(case: Case) -> int:
    if not case.is_shared:
        return 403
    if not case.state.share:
        return 404
    return 200 if case.is_admin or (case.who.project_id == SHARED_WITH and "member" in case.who.roles) else 403


def remove_member(case: Case) -> int:
    return 403 if not (case.is_shared and case.changes) else 204 if case.state.share else 404


def add_location(case: Case) -> int:
    return 403 if not (case.serves or case.changes) else 202 if case.queued else 409


def toggle(case: Case) -> int:
    return 204 if case.changes and not case.queued else 403


def changing(done: int) -> Callable[[Case], int]:
    return lambda case: done if case.changes else 403


def only_admin(done: Callable[[Case], int]) -> Callable[[Case], int]:
    return lambda case: done(case) if case.is_admin else 403


def replace(name: str, value: Any) -> dict[str, Any]:
    return {"body": [{"op": "replace", "path": f"/{name}", "value": value}], "media_type": PATCH}


def publish(case: Case) -> int:
    return 200 if case.is_admin or (case.changes and case.state.visibility == "public") else 403


def copy(case: Case) -> int:
    """Its only store has it already."""
    return 409 if not case.active else 400 if case.is_admin else 403


URL = "http://images.example.org/a.raw"
OPERATIONS = {
    "show": Operation("GET", "", lambda case: 200),
    "download": Operation("GET", "/file", download),
    "tasks": Operation("GET", "/tasks", lambda case: 200),
    "rename": Operation("PATCH", "", changing(200), **replace("name", "new")),
    "tag": Operation("PUT", "/tags/a", changing(204)),
    "publish": Operation("PATCH", "", publish, **replace("visibility", "public")),
    "open to all who know": Operation("PATCH", "", changing(200), **replace("visibility", "community")),
    "hide": Operation("PATCH", "", changing(200), **replace("os_hidden", True)),
    "protect": Operation("PATCH", "", changing(200), **replace("protected", True)),
    "give away": Operation("PATCH", "", only_admin(lambda case: 200), **replace("owner", "p9")),
    "upload": Operation("PUT", "/file", receive(204), b"bytes", OCTETS),
    "stage": Operation("PUT", "/stage", receive(204), b"bytes", OCTETS),
    "import": Operation("POST", "/import", receive(202), {"method": {"name": "web-download", "uri": URL}}),
    "copy": Operation("POST", "/import", copy, {"method": {"name": "copy-image"}}),
    "deactivate": Operation("POST", "/actions/deactivate", toggle),
    "reactivate": Operation("POST", "/actions/reactivate", toggle),
    "list members": Operation("GET", "/members", lambda case: 200 if case.is_shared else 403),
    "share": Operation("POST", "/members", lambda case: 200 if case.is_shared and case.changes else 403,
                       {"member": "p9"}),
    "show member": Operation("GET", f"/members/{SHARED_WITH}", show_member),
    "accept": Operation("PUT", f"/members/{SHARED_WITH}", set_member, {"status": "accepted"}),
    "stop sharing": Operation("DELETE", f"/members/{SHARED_WITH}", remove_member),
    "show locations": Operation("GET", "/locations", lambda case: 200 if case.serves else 403),
    "add location": Operation("POST", "/locations", add_location, {"url": URL}),
    "delete": Operation("DELETE", "", lambda case: 204 if case.changes and not case.state.protected else 403),
}  # fmt: skip


def row(number: int, state: State, hidden: bool = False) -> ImageRow:
    return ImageRow(
        id=f"{number:08d}-0000-0000-0000-000000000000", owner=OWNER, visibility=state.visibility, status=state.status,
        protected=state.protected, os_hidden=hidden, disk_format="raw", container_format="bare", created_at=number,
        updated_at=number, **({} if state.status == "queued" else {"stores": {"local": "bytes"}, "size": 5}),
    )  # fmt: skip


def put(tx: Tx, rows: list[tuple[ImageRow, State]]) -> None:
    for image, state in rows:
        tx.insert(image)
        if state.share:
            tx.insert(
                MemberRow(image_id=image.id, member_id=SHARED_WITH, status=state.share, created_at=1.0, updated_at=1.0)
            )


@pytest.fixture
def cloud(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name, caller in WHO.items():
        monkeypatch.setitem(CALLERS, name, caller)
    (cloud.service.blobs["local"].folder / "bytes").write_bytes(b"bytes")
    return cloud


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_state_and_role(cloud: Cloud, name: str) -> None:
    operation = OPERATIONS[name]
    cases = list(itertools.product(STATES, WHO))
    images = [row(number, state) for number, (state, _) in enumerate(cases)]
    cloud.store.write_now(put, [(image, state) for image, (state, _) in zip(images, cases, strict=True)])
    wrong = []
    for image, (state, who) in zip(images, cases, strict=True):
        case = Case(WHO[who], state)
        expected = operation.answer(case) if case.sees else 404
        path = f"/v2/images/{image.id}{operation.path}"
        answer = cloud.ask(operation.method, path, who, body=operation.body, media_type=operation.media_type)
        if answer.status != expected:
            wrong.append(f"{who} before {state}: {answer.status} instead of {expected}: {answer.body[:200]!r}")
    assert wrong == []


def listed(who: Caller, state: State, visibility: str, member_status: str) -> bool:
    """Whether somebody finds the image in his list."""
    own = who.project_id == OWNER
    invited = who.project_id == SHARED_WITH and state.share and member_status in ("all", state.share)
    if visibility == "":
        asked = state.visibility != "community" or own
    else:
        asked = visibility in ("all", state.visibility)
    return asked and (
        "admin" in who.roles or own or state.visibility in ("public", "community") or bool(invited)
    )  # fmt: skip


@pytest.mark.parametrize("who", [name for name in WHO if name != "nobody"])
def test_every_list(cloud: Cloud, who: str) -> None:
    images = {row(number, state).id: state for number, state in enumerate(STATES)}
    cloud.store.write_now(put, [(row(number, state), state) for number, state in enumerate(STATES)])
    cloud.store.write_now(put, [(row(1000 + number, state, True), state) for number, state in enumerate(STATES)])
    for visibility, member_status in itertools.product(
        ("", "all", "public", "private", "shared", "community"), ("pending", "accepted", "rejected", "all")
    ):
        query = f"member_status={member_status}&limit=1000" + (f"&visibility={visibility}" if visibility else "")
        found = {one["id"] for one in cloud.ask("GET", f"/v2/images?{query}", who).json["images"]}
        expected = {
            image_id for image_id, state in images.items() if listed(WHO[who], state, visibility, member_status)
        }
        assert found == expected, query
    assert cloud.ask("GET", "/v2/images", "nobody").status == 403
