"""An image service of one's own, driven in process: four projects' tokens, a store on each engine."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from in_process import exchange_in_chunks, exchange_in_loop

from bivouac.core.call import Caller
from bivouac.core.clock import ManualClock
from bivouac.core.http import Application, Request
from bivouac.core.http1 import Disconnected
from bivouac.core.policy import Policy
from bivouac.core.settings import Image as ImageSettings
from bivouac.core.store import Store
from bivouac.identity.vault import Vault
from bivouac.image.api import mount
from bivouac.image.policy import POLICY
from bivouac.image.transfer import ImageService

ROLES = {"reader": ("reader",), "member": ("reader", "member"), "admin": ("reader", "member", "manager", "admin")}
CALLERS = {
    "admin": Caller(user_id="root", user_name="root", project_id="p-admin", roles=ROLES["admin"]),
    "member": Caller(user_id="ann", user_name="ann", project_id="p1", roles=ROLES["member"]),
    "reader": Caller(user_id="rita", user_name="rita", project_id="p1", roles=ROLES["reader"]),
    "other": Caller(user_id="bob", user_name="bob", project_id="p2", roles=ROLES["member"]),
    "service": Caller(user_id="nova", user_name="nova", project_id="p-service", roles=("reader", "member", "service")),
    "nobody": Caller(user_id="eve", user_name="eve", project_id="p1", roles=()),
}


class Answer:
    """Status, headers and body of one answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:400]!r}>"


class Cloud:
    """The application and its parts."""

    def __init__(self, store: Store, folder: Path, settings: ImageSettings):
        self.store = store
        self.clock = ManualClock()
        self.policy = Policy(POLICY)
        self.service = ImageService(store, self.clock, settings, folder, Vault(folder / "credential-key"))
        self.application = Application(
            store=store,
            policy=self.policy,
            clock=self.clock,
            mounts=[mount(self.service)],
            authenticate=self._authenticate,
        )

    async def _authenticate(self, token: str, request: Request) -> Caller | None:
        return CALLERS.get(token)

    def ask(self, method: str, path: str, token: str = "member", **options: Any) -> Answer:
        """One request. `body`: JSON, bytes or a list of chunks (the last may be None: the client hangs up)."""
        return asyncio.run(self.ask_async(method, path, token, **options))

    async def ask_async(
        self, method: str, path: str, token: str = "member", body: Any = None, media_type: str = "", **headers: str
    ) -> Answer:
        fields = {"host": "cloud:5000", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if media_type:
            fields["content-type"] = media_type
        if token:
            fields["x-auth-token"] = token
        target = "/image" + path
        if body and isinstance(body, list) and all(isinstance(one, bytes | None) for one in body):
            with contextlib.suppress(Disconnected):
                return Answer(*await exchange_in_chunks(self.application, method, target, fields, body))
            return Answer(0, {}, b"")
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return Answer(*await exchange_in_loop(self.application, method, target, fields, content))

    def image(self, token: str = "member", **fields: Any) -> str:
        """The id of a new queued image."""
        answer = self.ask(
            "POST", "/v2/images", token, body={"disk_format": "raw", "container_format": "bare", **fields}
        )
        assert answer.status == 201, answer
        return answer.json["id"]

    def upload(self, image_id: str, data: bytes | list[bytes | None] = b"bytes", token: str = "member") -> Answer:
        return self.ask("PUT", f"/v2/images/{image_id}/file", token, body=data, media_type="application/octet-stream")

    def show(self, image_id: str, token: str = "member") -> dict[str, Any]:
        answer = self.ask("GET", f"/v2/images/{image_id}", token)
        assert answer.status == 200, answer
        return answer.json

    def patch(self, image_id: str, *changes: dict[str, Any], token: str = "member") -> Answer:
        kind = "2.1" if any("op" in one for one in changes) else "2.0"
        media_type = f"application/openstack-images-v{kind}-json-patch"
        return self.ask("PATCH", f"/v2/images/{image_id}", token, body=list(changes), media_type=media_type)
