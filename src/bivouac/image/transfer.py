"""Bytes in and out: uploads as streams into a store, checked before anybody can use them, and downloads.

An upload is three steps with the bytes in the middle: a transaction that claims the image (`saving`), the stream into
a blob that nobody sees yet, and a transaction that makes it active. What dies between leaves a lease that runs out and
a part file that nobody holds; `loops` clears both away.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from bivouac.core.blobs import Blob, Blobs, BlobWriter, Digests
from bivouac.core.call import Call
from bivouac.core.clock import Clock
from bivouac.core.errors import BadRequest, Gone, TooLarge, UnsupportedMediaType
from bivouac.core.settings import Image as ImageSettings
from bivouac.core.settings import SettingsError
from bivouac.core.store import Store, Tx
from bivouac.identity.records import Credential
from bivouac.identity.vault import Vault

from . import conversion, formats, inside, signature
from .definitions import put_in_place
from .outside import Outside
from .records import BootDisk, ImageRow
from .service import imports, transfers
from .service.images import CACHE, STAGING
from .service.transfers import Arrival

LOCAL = "local"
"""The store that everything goes into unless another is named."""
_OPAQUE = {"docker": "a container image, not a disk", "compressed": "compressed"}


class ImageService:
    """The stores of one process, and what moves bytes through them."""

    def __init__(
        self, store: Store, clock: Clock, settings: ImageSettings, folder: Path, vault: Vault, region: str = "RegionOne"
    ):
        self.store = store
        self.vault = vault
        self.clock = clock
        self.settings = settings
        self.region = region
        self.outside = Outside(settings.web_download_allow)
        self.blobs: dict[str, Blobs] = {name: Blobs(folder / name) for name in (LOCAL, STAGING, CACHE)}
        self.blobs |= {name: Blobs(path) for name, path in _extra_stores(settings.extra_stores)}

    def start(self) -> None:
        """Remove what crashed uploads left, and put our own definitions in place. Call once, before serving."""
        for blobs in self.blobs.values():
            blobs.clean()
        self.store.write_now(put_in_place, self.clock.now())

    @property
    def store_names(self) -> list[str]:
        """Stores that images can be put into."""
        return [name for name in self.blobs if name not in (STAGING, CACHE)]

    # --- in ------------------------------------------------------------------------------------------------------

    async def upload(
        self, call: Call, image_id: str, chunks: AsyncIterator[bytes], declared: int | None, store: str = ""
    ) -> None:
        """Fill a queued image. Raises NotFound, Forbidden, Conflict, BadRequest, TooLarge, UnsupportedMediaType, Gone
        (deleted meanwhile)."""
        if declared is not None:
            self._check_size(declared)
        if store and store not in self.store_names:
            raise BadRequest(f"Store {store} is not available; there are: {', '.join(self.store_names)}.")
        image = await self.store.write(transfers.begin_upload, call, image_id, declared, actor=call, plan=call.plan)
        if not call.plan:
            await self.fill(image, chunks if declared is None else _exactly(chunks, declared), call, store or LOCAL)

    async def fill(
        self, image: ImageRow, chunks: AsyncIterator[bytes], call: Call | None, store: str = LOCAL
    ) -> ImageRow:
        """Receive the bytes of an image that was claimed by `transfers.begin`, and make it active."""
        async with self._transfer(image, call):
            arrival = await self.receive(image, chunks, store)
            new = await self.store.write(
                transfers.finish, image.id, image.transfer, arrival, self.clock.now(), actor=call
            )
        if new is None:
            raise Gone(f"Image {image.id} could not be found after upload. It may have been deleted meanwhile.")
        return new

    async def stage(self, call: Call, image_id: str, chunks: AsyncIterator[bytes], declared: int | None) -> None:
        """Keep the bytes of a queued image for its import. Raises as `upload`, but looks at nothing."""
        if declared is not None:
            self._check_size(declared)
        image = await self.store.write(imports.begin_staging, call, image_id, declared or 0, actor=call, plan=call.plan)
        if call.plan:
            return
        async with self._transfer(image, call):
            writer = self.blobs[STAGING].create(f"{image.id}.{image.transfer}")
            try:
                digests = await self.pour(chunks, writer)
                await writer.commit()
            except BaseException:
                await writer.abort()
                raise
            new = await self.store.write(
                imports.end_staging, image.id, image.transfer, writer.key, digests, self.clock.now(), actor=call
            )
        if new is None:
            raise Gone(f"Image {image.id} could not be found after staging. It may have been deleted meanwhile.")

    async def receive(self, image: ImageRow, chunks: AsyncIterator[bytes], store: str = LOCAL) -> Arrival:
        """Bytes into a durable blob, checked and with their boot disk. Leaves nothing behind when it raises."""
        writer = self.blobs[store].create(f"{image.id}.{image.transfer}")
        try:
            digests = await self.pour(chunks, writer)
            return await self._settle(image, writer, digests, store)
        except BaseException:
            await writer.abort()
            raise

    async def pour(self, chunks: AsyncIterator[bytes], writer: BlobWriter) -> Digests:
        """All chunks into a writer, sealed. Raises TooLarge."""
        async for chunk in chunks:
            await writer.write(chunk)
            self._check_size(writer.size)
        return await writer.seal()

    async def _settle(self, image: ImageRow, writer: BlobWriter, digests: Digests, store: str) -> Arrival:
        """Hold the claim against the bytes, make the boot disk, make all durable."""
        with writer.reader() as source:
            arrival = await self.judge(image, source, digests, store)
        await writer.commit()
        return arrival

    async def judge(self, image: ImageRow, source: Blob, digests: Digests, store: str) -> Arrival:
        """What an image would be with these bytes; its boot disk is made and durable."""
        await self._verify_signature(image, source)
        found = await self.inspect(image, source)
        boot = await self._boot_disk(image, source, found, store)
        return Arrival(
            properties=await self._look_inside(image, source, found, boot),
            store=store,
            blob=f"{image.id}.{image.transfer}",
            digests=digests,
            virtual_size=found.virtual_size,
            boot=boot,
            unusable=_unusable(image, found),
        )

    async def _verify_signature(self, image: ImageRow, source: Blob) -> None:
        """Raises BadRequest when the image is signed and the signature does not hold."""
        if signature.is_signed(image.properties):
            pem = await self.store.read(certificate, self.vault, image, signature.certificate_id(image.properties))
            await asyncio.to_thread(signature.verify, image.properties, pem, source, self.clock.now())

    async def inspect(self, image: ImageRow, source: Blob) -> formats.Inspection:
        """What the bytes are. Raises UnsupportedMediaType when they are not what was claimed, TooLarge."""
        claim = image.disk_format or "", image.container_format or ""
        try:
            found = await asyncio.to_thread(formats.check, *claim, source, self.settings.require_format_match)
        except formats.Refused as refusal:
            raise UnsupportedMediaType(f"The image is refused: {refusal}") from refusal
        if found.virtual_size > self.settings.max_size_bytes:
            raise TooLarge(f"The disk may have {self.settings.max_size_bytes} bytes, not {found.virtual_size}.")
        return found

    async def _look_inside(
        self, image: ImageRow, source: Blob, found: formats.Inspection, boot: BootDisk | None
    ) -> dict[str, str]:
        """What the guest can drive, as properties that count where the user said nothing."""
        if image.disk_format in ("aki", "ari", "iso") or _unusable(image, found):
            return {}
        if boot is None:
            return await asyncio.to_thread(inside.look, source, found.format)
        with self.blobs[boot.store].open(boot.blob) as disk:
            return await asyncio.to_thread(inside.look, disk, boot.disk_format)

    async def _boot_disk(self, image: ImageRow, source: Blob, found: formats.Inspection, store: str) -> BootDisk | None:
        """The qcow2 twin, durable, for formats that hosts cannot take."""
        if not conversion.needs_boot_disk(found):
            return None
        writer = self.blobs[store].create(f"{image.id}.{image.transfer}.boot")
        try:
            await conversion.convert(source, found, writer)
            digests = await writer.rehash()
            await writer.commit()
        except BaseException:
            await writer.abort()
            raise
        return BootDisk(conversion.BOOT_FORMAT, store, writer.key, digests.size, digests.sha512)

    def _check_size(self, size: int) -> None:
        if size > self.settings.max_size_bytes:
            raise TooLarge(f"The incoming image is too large: {self.settings.max_size_bytes} bytes are the limit.")

    @contextlib.asynccontextmanager
    async def _transfer(self, image: ImageRow, call: Call | None) -> AsyncIterator[None]:
        """Keeps the lease; puts the image back when the block fails or is cancelled."""
        keeper = asyncio.create_task(self._keep_lease(image))
        try:
            yield
        except BaseException:
            undo = self.store.write(transfers.fail, image.id, image.transfer, self.clock.now(), actor=call)
            await asyncio.shield(asyncio.ensure_future(undo))
            raise
        finally:
            keeper.cancel()

    async def _keep_lease(self, image: ImageRow) -> None:
        while True:
            await asyncio.sleep(transfers.LEASE_S / 3)
            until = self.clock.now() + transfers.LEASE_S
            await self.store.write(transfers.renew, image.id, image.transfer, until)

    # --- out -----------------------------------------------------------------------------------------------------

    def open(self, image: ImageRow, preferred: Sequence[str] = ()) -> Blob:
        """The image as it was sent, from a preferred store if it is there. Raises NotFound."""
        for store in preferred:
            if store in image.stores:
                return self.blobs[store].open(image.stores[store])
        store, blob = transfers.first_copy(image)
        return self.blobs[store].open(blob)

    def open_boot_disk(self, image: ImageRow) -> Blob:
        """What a server boots from: the twin, or the image itself. Raises NotFound."""
        if image.boot is not None:
            return self.blobs[image.boot.store].open(image.boot.blob)
        return self.open(image)


async def _exactly(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The chunks, if they are as many bytes as was said. Raises BadRequest."""
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > size:
            break
        yield chunk
    if received != size:
        raise BadRequest(f"Size mismatch: expected {size} bytes, got {'more' if received > size else received}.")


def certificate(tx: Tx, vault: Vault, image: ImageRow, credential_id: str) -> str:
    """The certificate in PEM, kept by the image's own project or by an administrator's. Raises BadRequest."""
    row = tx.get(Credential, credential_id.replace("-", ""))
    if row is None or row.type != "certificate" or row.project_id not in (image.owner, None):
        raise BadRequest("Signature verification failed: there is no such credential of type certificate.")
    return vault.open(tx, row).blob


def _extra_stores(entries: Sequence[str]) -> list[tuple[str, Path]]:
    """`name=/directory` of further stores. Raises SettingsError."""
    stores = []
    for entry in entries:
        name, equals, path = entry.partition("=")
        if not equals or not re.fullmatch(r"[a-z][a-z0-9_-]{0,30}", name) or name in (LOCAL, STAGING, CACHE):
            raise SettingsError(f"image.extra_stores: {entry!r} is not of the form name=/directory.")
        stores.append((name, Path(path)))
    return stores


def _unusable(image: ImageRow, found: formats.Inspection) -> str:
    """Why no server can boot from it, empty when one can."""
    if found.format in _OPAQUE:
        return f"The contents are {_OPAQUE[found.format]}."
    claimed = "ova" if image.container_format == "ova" else image.disk_format
    if found.format == "raw" and claimed not in ("raw", "ami", "ari", "aki"):
        return f"The contents are not {claimed}."
    return ""
