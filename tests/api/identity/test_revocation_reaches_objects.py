"""What is revoked counts in the object store's process from the moment the one who revoked has the answer."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bivouac.app.bearers import KEPT, Forgotten, bearers_mount
from bivouac.core.http import Application
from bivouac.core.http1 import Request, Response, Server, unix_socket
from bivouac.core.policy import Policy
from bivouac.identity.revocation import forget, forget_everything
from bivouac.objects.identity import Identity as ObjectsIdentity
from bivouac.objects.identity import Unavailable

from .conftest import Cloud


class Internal:
    """Control's internal socket in a thread, with what the object store asks there."""

    def __init__(self, cloud: Cloud, directory: Path) -> None:
        self.cloud, self.path, self.sequence = cloud, directory / "control.sock", directory / "forgotten"
        self.questions: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        authenticator = self.cloud.identity.authenticator
        mount = bearers_mount(authenticator, Forgotten(self.cloud.store, self.sequence))
        application = Application(
            store=self.cloud.store, policy=Policy([]), clock=self.cloud.clock, mounts=[mount],
            authenticate=authenticator,
        )  # fmt: skip

        async def counted(request: Request) -> Response:
            self.questions.append(request.target.decode())
            return await application.handle(request)

        async def run() -> None:
            self._stopping.clear()
            server = Server(counted)
            await server.listen(unix_socket(self.path))
            self._ready.set()
            await self._stopping.wait()
            await server.stop(3)

        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(run(),))
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        assert self._thread is not None
        self._thread.join(30)
        self._ready.clear()
        self.path.unlink(missing_ok=True)


@pytest.fixture
def internal(cloud: Cloud, tmp_path: Path) -> Iterator[Internal]:
    internal = Internal(cloud, tmp_path)
    internal.start()
    yield internal
    internal.stop()


class Asking:
    """The object store's side. It believes answers for ever, so that only what is told of revocations counts."""

    def __init__(self, internal: Internal) -> None:
        self.identity = ObjectsIdentity(
            str(internal.path), internal.sequence, lifetime_s=1e6, patience_s=0, now=internal.cloud.clock.now
        )
        self.runner = asyncio.Runner()

    def token(self, text: str) -> Any:
        return self.runner.run(self.identity.authenticate(text))

    def key(self, access: str) -> Any:
        return self.runner.run(self.identity.ec2_credential(access))


@pytest.fixture
def asking(internal: Internal) -> Iterator[Asking]:
    asking = Asking(internal)
    yield asking
    asking.runner.close()


def member(cloud: Cloud) -> tuple[str, str, str]:
    """(user, project, token) of a new member of a new project."""
    project = cloud.make("project", name="p")["id"]
    user = cloud.make("user", name="u", password="secret", default_project_id=project, email="Ann@example.com")["id"]
    cloud.assign(user, "member", f"projects/{project}")
    return user, project, cloud.token(user, "secret", project=project)


def revoke_token(cloud: Cloud, user: str, project: str, token: str) -> None:
    assert cloud.ask("DELETE", "/v3/auth/tokens", None, cloud.admin, **{"x-subject-token": token}).status == 204


def disable_user(cloud: Cloud, user: str, project: str, token: str) -> None:
    assert cloud.patch(f"/v3/users/{user}", {"user": {"enabled": False}}).status == 200


def disable_project(cloud: Cloud, user: str, project: str, token: str) -> None:
    assert cloud.patch(f"/v3/projects/{project}", {"project": {"enabled": False}}).status == 200


def take_role(cloud: Cloud, user: str, project: str, token: str) -> None:
    assert cloud.delete(f"/v3/projects/{project}/users/{user}/roles/{cloud.role('member')}").status == 204


@pytest.mark.parametrize("revoke", [revoke_token, disable_user, disable_project, take_role])
def test_a_revoked_token_is_refused_at_once(
    cloud: Cloud, internal: Internal, asking: Asking, revoke: Callable[..., None]
) -> None:
    user, project, token = member(cloud)
    other = cloud.admin
    assert asking.token(token).project_id == project
    assert asking.token(other) is not None
    asked = len(internal.questions)
    assert asking.token(token).user_id == user
    assert len(internal.questions) == asked
    revoke(cloud, user, project, token)
    assert asking.token(token) is None
    # What does not depend on it is still known.
    asked = len(internal.questions)
    assert asking.token(other) is not None
    assert len(internal.questions) == asked


def test_a_deleted_access_key_is_refused_at_once(cloud: Cloud, internal: Internal, asking: Asking) -> None:
    user, project, _ = member(cloud)
    made = cloud.post(f"/v3/users/{user}/credentials/OS-EC2", {"tenant_id": project})["credential"]
    assert asking.key(made["access"])[0] == made["secret"]
    assert asking.key(made["access"])[1].project_id == project
    assert cloud.delete(f"/v3/users/{user}/credentials/OS-EC2/{made['access']}").status == 204
    assert asking.key(made["access"]) is None


def test_more_than_is_kept_of_is_everything(cloud: Cloud, internal: Internal, asking: Asking) -> None:
    _, _, token = member(cloud)
    assert asking.token(token) is not None
    cloud.store.write_now(lambda tx: forget(tx, *(f"id-{number}" for number in range(KEPT + 1))))
    asked = len(internal.questions)
    assert asking.token(token) is not None
    assert [question.split("/")[2] for question in internal.questions[asked:]] == ["forgotten", "token"]
    cloud.store.write_now(forget_everything)
    asked = len(internal.questions)
    assert asking.token(token) is not None
    assert len(internal.questions) == asked + 2


def test_without_control_nothing_that_was_revoked_is_let_in(cloud: Cloud, internal: Internal, asking: Asking) -> None:
    _, _, token = member(cloud)
    assert asking.token(token) is not None
    internal.stop()
    assert asking.token(token) is not None  # nothing was revoked
    cloud.store.write_now(lambda tx: forget(tx, "somebody"))
    with pytest.raises(Unavailable, match="control does not answer"):
        asking.token(token)
    internal.start()
    assert asking.token(token) is not None


def test_projects_and_addresses_are_known(cloud: Cloud, internal: Internal, asking: Asking) -> None:
    _, project, _ = member(cloud)
    run, identity = asking.runner.run, asking.identity
    assert run(identity.project_exists(project))
    assert not run(identity.project_exists("nobody"))
    assert not run(identity.project_exists("default"))  # a domain
    assert run(identity.find_email("ann@EXAMPLE.com")) == project
    assert run(identity.find_email("ann%")) is None
    assert run(identity.find_email("bob@example.com")) is None
