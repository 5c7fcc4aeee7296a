"""Server access logs on their way: records gather in a file per target and become log objects in the target bucket.

Records wait in the directory `s3-logs`, one file for each (source, target, prefix), appended as requests are answered;
they survive a restart,
and at most what the kernel had not written is lost in a power cut (Amazon's delivery is best effort too). A file
becomes an object of the
target bucket once it is as old as the configuration's roll time, when logging is turned off or changed, or when
somebody asks.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging as log_module
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from bivouac.core.http1 import Response
from bivouac.objects.store.errors import NoSuchContainer, StoreError
from bivouac.objects.store.interface import Container, PutObject, Store
from bivouac.s3 import access
from bivouac.s3.call import Call
from bivouac.s3.documents import acl as acls
from bivouac.s3.documents import keys, logging, policy
from bivouac.s3.errors import S3Error

log = log_module.getLogger("bivouac.s3")
SERVICE = "logging.s3.amazonaws.com"
HOST_ID = "bivouac"
SWEEP_S = 1.0
_JOURNALED = frozenset(
    "REST." + name
    for name in (
        "PUT.OBJECT", "POST.OBJECT", "DELETE.OBJECT", "POST.UPLOAD", "COPY.OBJECT", "PUT.ACL", "PUT.OBJECT_TAGGING",
        "PUT.LEGAL_HOLD", "PUT.RETENTION", "DELETE.OBJECT_TAGGING", "POST.DELETE_MULTI_OBJECT",
    )
)  # fmt: skip


class Pending(Struct):
    """Records that wait, and where they will go."""

    source: str
    owner: str
    target_id: int
    target: str
    configuration: logging.Logging
    since: float
    name: str


class LogDelivery:
    """Gathers and delivers. One per door."""

    def __init__(
        self, store: Store, directory: Path, region: str, now: Callable[[], float], roll_s: float = float("inf")
    ) -> None:
        """`roll_s` is how long records gather at most, whatever a configuration says."""
        self._store, self._directory, self._region, self._now = store, directory, region, now
        self._roll_s = roll_s
        self._pending: dict[str, Pending] = {}
        self._lock = asyncio.Lock()
        self._loaded = False

    # gathering

    def wanted(self, call: Call) -> bool:
        container = getattr(call, "container", None)
        return container is not None and keys.LOGGING in container.documents

    async def record(self, call: Call, response: Response, error: S3Error | None) -> None:
        """Note one answered request. Never fails the request."""
        length = response.length if response.length is not None else 0
        sent = len(response.body) if isinstance(response.body, bytes) else length
        etag = next((value for name, value in response.headers if name == "etag"), "").strip('"')
        await self._note(call, call.key, call.log_version, response.status, error.code if error else "", sent, etag)

    async def record_delete(self, call: Call, key: str, version: str | None, status: int) -> None:
        """One object of a multi-object delete gets a record of its own."""
        if self.wanted(call):
            await self._note(call, key, version or "", status, "", 0, "", "REST.POST.DELETE_MULTI_OBJECT")

    async def _note(
        self, call: Call, key: str, version: str, status: int, error: str, sent: int, etag: str, operation: str = ""
    ) -> None:
        configuration = logging.load(call.container.documents[keys.LOGGING])
        operation = operation or call.operation
        if configuration.journal and not self._journals(configuration, operation, key, status):
            return
        request, proof = call.request, call.proof
        line = logging.line(
            logging.Record(
                owner=call.container.account,
                bucket=call.container.name,
                moment=call.now,
                remote=request.remote,
                requester=call.project,
                request_id=call.request_id,
                operation=operation,
                key=key,
                uri=f"{request.method} {request.raw_path.decode('latin-1')}"
                + (f"?{request.query_string.decode('latin-1')}" if request.query_string else "")
                + " HTTP/1.1",
                status=status,
                error=error,
                sent=sent,
                object_size=call.log_size or 0,
                total_ms=max(0, int((self._now() - call.now) * 1000)),
                referrer=request.headers.get("referer", ""),
                agent=request.headers.get("user-agent", ""),
                version=version,
                host_id=HOST_ID,
                signature=proof.version,
                auth_type=proof.kind,
                host=request.headers.get("host", ""),
                acl_required=call.acl_used,
                etag=call.log_etag or etag,
            ),
            configuration.journal,
        )
        try:
            await self._append(call.container, configuration, line)
        except NoSuchContainer:
            pass  # the target was deleted: there is nowhere to tell it
        except (OSError, StoreError):
            log.exception("an access log record was lost", extra={"bucket": call.container.name})

    @staticmethod
    def _journals(configuration: logging.Logging, operation: str, key: str, status: int) -> bool:
        return (
            status < 300
            and operation in _JOURNALED
            and key.startswith(configuration.key_prefix)
            and key.endswith(configuration.key_suffix)
        )

    def _slot(self, source: Container, configuration: logging.Logging) -> str:
        """Sources that share a target and a prefix share a log object, unless names are partitioned by source."""
        per_source = source.name if configuration.partitioned else ""
        text = f"{configuration.bucket}\0{configuration.prefix}\0{configuration.journal}\0{per_source}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    async def _append(self, source: Container, configuration: logging.Logging, line: str) -> None:
        self._load()
        slot = self._slot(source, configuration)
        async with self._lock:
            pending = self._pending.get(slot)
            if pending is None:
                target = await self._store.find_bucket(configuration.bucket)
                name = logging.object_name(configuration, source.account, self._region, source.name, self._now())
                pending = Pending(source.name, source.account, target.id, target.name, configuration, self._now(), name)
                self._directory.mkdir(parents=True, exist_ok=True)
                (self._directory / f"{slot}.json").write_bytes(msgspec.json.encode(pending))
                self._pending[slot] = pending
            with open(self._directory / f"{slot}.log", "a", encoding="utf-8", errors="surrogateescape") as file:
                file.write(line + "\n")

    def _load(self) -> None:
        """What waited when the process stopped."""
        if not self._loaded:
            self._loaded = True
            for path in self._directory.glob("*.json"):
                self._pending[path.stem] = msgspec.json.decode(path.read_bytes(), type=Pending)

    # delivering

    async def run(self) -> None:
        """Deliver what has reached its roll time, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            await self.deliver_due()

    async def deliver_due(self) -> None:
        self._load()
        now = self._now()
        for slot, pending in list(self._pending.items()):
            if now >= pending.since + min(pending.configuration.roll_s, self._roll_s):
                await self._deliver(slot)

    async def flush_source(self, source: Container) -> str:
        """Deliver what waits for a source's target now; the log object's name. An empty log makes an empty object.

        Raises AccessDenied if the target does not let the log writer in any more.
        """
        configuration = logging.load(source.documents[keys.LOGGING])
        target = await self._store.find_bucket(configuration.bucket)
        if not lets_in(target, source.name, source.account, configuration.prefix):
            raise S3Error("AccessDenied", "The target bucket does not let the log writer in any more.")
        self._load()
        slot = self._slot(source, configuration)
        if slot not in self._pending:
            await self._append_nothing(source, configuration)
        return await self._deliver(slot) or ""

    async def _append_nothing(self, source: Container, configuration: logging.Logging) -> None:
        slot = self._slot(source, configuration)
        name = logging.object_name(configuration, source.account, self._region, source.name, self._now())
        target = await self._store.find_bucket(configuration.bucket)
        self._pending[slot] = Pending(
            source.name, source.account, target.id, target.name, configuration, self._now(), name
        )

    async def source_changed(self, source: Container) -> str:
        """Logging of a source ends or changes: what waits goes out. The log object's name, or ""."""
        text = source.documents.get(keys.LOGGING)
        if text is None:
            return ""
        self._load()
        slot = self._slot(source, logging.load(text))
        return (await self._deliver(slot) or "") if slot in self._pending else ""

    def target_deleted(self, target: Container) -> None:
        """Records for a bucket that is gone are gone too."""
        self._load()
        for slot, pending in list(self._pending.items()):
            if pending.target_id == target.id:
                self._forget(slot)

    def _forget(self, slot: str) -> None:
        self._pending.pop(slot, None)
        (self._directory / f"{slot}.log").unlink(missing_ok=True)
        (self._directory / f"{slot}.json").unlink(missing_ok=True)

    async def _deliver(self, slot: str) -> str | None:
        async with self._lock:
            pending = self._pending.get(slot)
            if pending is None:
                return None
            path = self._directory / f"{slot}.log"
            body = path.read_bytes() if path.exists() else b""
            try:
                target = await self._store.find_bucket(pending.target)
                if target.id != pending.target_id:
                    raise NoSuchContainer(pending.target)
                if not lets_in(target, pending.source, pending.owner, pending.configuration.prefix):
                    log.warning("access logs for %s were dropped: it does not let the writer in", pending.target)
                    self._forget(slot)
                    return None
                upload = self._store.upload(len(body))
                await upload.write(body)
                await self._store.put_object(
                    PutObject(target, pending.name, await upload.finish(), "text/plain", owner=target.account)
                )
            except NoSuchContainer:
                log.warning("access logs for %s were dropped: the bucket is gone", pending.target)
            except StoreError:
                log.exception("access logs could not be delivered", extra={"bucket": pending.target})
                return None
            self._forget(slot)
            return pending.name

    async def close(self) -> None:
        """Nothing is lost: what waits is in files."""
        for path in self._directory.glob("*.log"):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    # may it?

    async def check_target(self, call: Call, source: Container, wanted: logging.Logging) -> None:
        """The target exists, is not itself logged or encrypted with keys, and lets the log writer in. Raises
        S3Error."""
        try:
            target = await self._store.find_bucket(wanted.bucket)
        except NoSuchContainer:
            raise S3Error("NoSuchKey", f"The target bucket {wanted.bucket} does not exist.") from None
        if target.id == source.id or keys.LOGGING in target.documents:
            raise S3Error("InvalidArgument", "The target bucket must not be logged itself.")
        if keys.ENCRYPTION in target.documents or keys.REQUEST_PAYMENT in target.documents:
            raise S3Error("InvalidArgument", "The target bucket must not have default encryption or requester pays.")
        if not lets_in(target, source.name, source.account, wanted.prefix):
            raise S3Error("AccessDenied", "The target bucket's policy or ACL does not let the log writer in.")


def lets_in(target: Container, source: str, owner: str, prefix: str) -> bool:
    """Whether the target's policy or ACL lets the log writer put records of a source bucket under a prefix."""
    text = target.documents.get(keys.POLICY)
    if text is not None:
        context = {"aws:sourcearn": [f"arn:aws:s3:::{source}"], "aws:sourceaccount": [owner]}
        resource = f"arn:aws:s3:::{target.name}/{prefix}"
        writer = policy.Principal(service=SERVICE)
        verdict = policy.evaluate(policy.load(text), writer, "s3:putobject", resource, context)
        if verdict is not policy.Verdict.SILENT:
            return verdict is policy.Verdict.ALLOW
    return acls.allows(access.bucket_acl(target), "WRITE", "", (acls.LOG_DELIVERY,))
