"""The S3 door: from an HTTP request to an answer.

Authenticate, find the operation in the table, run it, turn what it raises into S3's XML, add what every answer has
(request id, CORS), and
write the access log. `S3Door.handle` serves `bivouac.core.http1.Server`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bivouac.core.http1 import Disconnected, Response
from bivouac.core.http1 import Request as HttpRequest
from bivouac.identity.access_rules import allow
from bivouac.objects import measures, sealed
from bivouac.objects.identity import Unavailable
from bivouac.objects.sealed import ReadPlain, Sealed
from bivouac.objects.store import errors as store_errors
from bivouac.objects.store.interface import ObjectRecord, Store
from bivouac.s3 import encryption, interop, names, websites
from bivouac.s3.authenticate import Authenticator, Lookup
from bivouac.s3.call import Call, new_request_id
from bivouac.s3.delivery import LogDelivery
from bivouac.s3.documents import cors, keys
from bivouac.s3.encryption import MasterKeys
from bivouac.s3.errors import S3Error, error_body
from bivouac.s3.events import Events
from bivouac.s3.operations import find
from bivouac.s3.operations.reading import decrypted
from bivouac.s3.preflight import preflight
from bivouac.s3.refusals import refusal
from bivouac.s3.request import Request

log = logging.getLogger("bivouac.s3")
HOST_ID = "bivouac"
FindEmail = Callable[[str], Awaitable[str | None]]


async def _no_email(address: str) -> str | None:
    return None


class S3Door:
    """`domains` are host names under which buckets are addressed as BUCKET.DOMAIN. `find_email` gives the project of
    an address."""

    def __init__(
        self,
        store: Store,
        lookup: Lookup,
        directory: Path,
        *,
        region: str = "RegionOne",
        domains: tuple[str, ...] = (),
        now: Callable[[], float] = time.time,
        find_email: FindEmail = _no_email,
        project_exists: Callable[[str], Awaitable[bool]] | None = None,
        log_roll_s: float = float("inf"),
    ) -> None:
        self.store = store
        self.region = region
        self.domains = tuple(domain.lower() for domain in domains)
        self.now = now
        self.find_email = find_email
        self.project_exists = project_exists
        self.authenticator = Authenticator(lookup)
        self.masters = MasterKeys(directory / "s3-master.key")
        self.logs = LogDelivery(store, directory / "s3-logs", region, now, log_roll_s)
        self.events = Events(region)
        self.names: dict[str, str] = {}

    def unseal(self, record: ObjectRecord) -> ReadPlain:
        """What another door reads an encrypted object with. Raises Sealed: SSE-C's keys are the clients'."""
        envelope = encryption.load(record.documents[sealed.DOCUMENT])
        if envelope.kind != "SSE-S3":
            raise Sealed("The object is encrypted with its owner's key (SSE-C). Only S3 clients with it can read it.")
        try:
            key = self.masters.unwrap(envelope)
        except S3Error as error:
            raise Sealed(error.message) from error
        return lambda offset, length: decrypted(self.store, record, key, offset, length)

    def display_name(self, project: str) -> str:
        """The name of a project, if one of its members was here since the start; else its id."""
        return self.names.get(project, project)

    async def handle(self, http: HttpRequest) -> Response:
        """One request. Never raises but Disconnected."""
        begun = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in http.headers.items()}
        request = Request(http.method, http.target, http.query, headers, http, http.peer, http.secure)
        request_id, now = new_request_id(), self.now()
        call: Call | None = None
        response: Response | None = None
        error: S3Error | None = None
        try:
            host = headers.get("host", "")
            site = websites.bucket_of(host, self.domains) if websites.LABEL in host else ""
            if site:
                _, key = names.split(f"{site}.s3", http.target, ("s3",))
                call = Call(self, request, site, key, request_id, now)
                response = await websites.serve(call)
            else:
                bucket, key = names.split(host, http.target, self.domains)
                call = Call(self, request, bucket, key, request_id, now)
                response = await self._run(call)
        except S3Error as refused:
            error = refused
        except store_errors.StoreError as refused:
            error = refusal(refused, call)
        except Unavailable as refused:
            error = S3Error("ServiceUnavailable", f"Identity cannot be asked now: {refused}")
        except Disconnected:
            raise
        except Exception:
            log.exception("an S3 request failed", extra={"request_id": request_id, "method": http.method})
        if response is None:
            error = error or S3Error("InternalError")
            response = self._error(call, request, error, request_id)
        if "origin" in headers and call is not None:
            self._cors(call, headers, response)
        response.headers.append(("x-amz-request-id", request_id))
        response.headers.append(("x-amz-id-2", HOST_ID))
        if call is not None and call.operation and self.logs.wanted(call):
            await self.logs.record(call, response, error)
        measures.count("s3", http.method, response.status, begun)
        return response

    async def _run(self, call: Call) -> Response:
        request = call.request
        if request.method == "OPTIONS":
            return await preflight(call)
        virtual = call.bucket if call.bucket and not request.raw_path.startswith(b"/" + call.bucket.encode()) else ""
        call.caller, call.proof = await self.authenticator.authenticate(request, call.now, virtual)
        if call.caller is not None:
            call.project = call.caller.project_id
            if not call.project:
                raise S3Error("AccessDenied", "The credential is not for a project.")
            rules = call.caller.access_rules
            if rules is not None and not allow(
                rules, "object-store", request.method, "", request.raw_path.decode("latin-1")
            ):
                raise S3Error("AccessDenied", "The application credential's access rules do not cover this request.")
            if call.project not in self.names:
                self.names[call.project] = call.caller.project_name or call.project
        google = interop.speaks(request)
        if google:
            interop.to_amazon(request)
        operation = find(call)
        call.operation = operation.log
        response = await operation.run(call)
        if not call.authorised:
            raise RuntimeError(f"{operation.name} answered without asking for permission")
        if google:
            interop.to_google(response)
        return response

    def _error(self, call: Call | None, request: Request, error: S3Error, request_id: str) -> Response:
        headers = list(error.headers.items())
        if error.status == 304:
            return Response(304, headers)
        if error.status >= 500:
            log.warning("S3 answered %s: %s", error.code, error.message, extra={"request_id": request_id})
        headers.append(("content-type", "application/xml"))
        if call is not None and call.bucket and "BucketName" not in error.elements:
            error.elements["BucketName"] = call.bucket
        resource = request.raw_path.decode("latin-1")
        body = error_body(error, resource, request_id, HOST_ID)
        if request.method == "HEAD":
            return Response(error.status, headers, b"", len(body))
        return Response(error.status, headers, body)

    def _cors(self, call: Call, headers: dict[str, str], response: Response) -> None:
        """Tell a browser that the bucket's rules let it see this answer."""
        container = getattr(call, "container", None)
        text = container.documents.get(keys.CORS) if container is not None else None
        if text is None or call.request.method == "OPTIONS":
            return
        method = headers.get("access-control-request-method", call.request.method)
        rule = cors.match(cors.load(text), headers["origin"], method)
        if rule is not None:
            response.headers.extend(cors.answer_headers(rule, headers["origin"]).items())

    async def close(self) -> None:
        """Write the logs that wait, and let events go out."""
        await self.logs.close()
        await self.events.close()
