"""The door itself: from a request to the handler of its level, and what every answer carries."""

from __future__ import annotations

import itertools
import json
import secrets
import time

from bivouac import __version__
from bivouac.core import metrics
from bivouac.core.http1 import Request, Response
from bivouac.identity.access_rules import allow
from bivouac.objects import measures
from bivouac.objects.caller import Authenticate
from bivouac.objects.sealed import Unseal, nobody_can
from bivouac.objects.store.interface import Store
from bivouac.objects.swift import access, accounts, browse, bulk, containers, cors, limits, objects, tempurl
from bivouac.objects.swift.call import MOUNT, Call, parse_path
from bivouac.objects.swift.errors import Refusal, refusal
from bivouac.objects.swift.ratelimit import RateLimit

CROSSDOMAIN = (
    b'<?xml version="1.0"?>\n<!DOCTYPE cross-domain-policy SYSTEM '
    b'"http://www.adobe.com/xml/dtds/cross-domain-policy.dtd" >\n'
    b'<cross-domain-policy>\n<allow-access-from domain="*" secure="false" />\n</cross-domain-policy>'
)
# Swift's own number tells clients what to expect of the server; ours is in the header Server.
SWIFT_VERSION = "2.36.0"
BROWSE = MOUNT + browse.PATH


class SwiftDoor:
    """`handle` is what the server calls. `authenticate` is asked on every request that has a token,
    `unseal` for the bytes of an encrypted object."""

    def __init__(
        self,
        store: Store,
        authenticate: Authenticate,
        rate_limit: RateLimit | None = None,
        unseal: Unseal = nobody_can,
    ) -> None:
        self._store, self._authenticate, self._unseal = store, authenticate, unseal
        # 21 hexadecimal digits: this process, then a number.
        self._process, self._numbers = secrets.token_hex(6), itertools.count(1)
        limited = rate_limit.info() if rate_limit is not None else {}
        self._rate_limit = rate_limit if limited else None
        self._info = json.dumps(limits.info(SWIFT_VERSION) | limited).encode()

    async def handle(self, request: Request) -> Response:
        begun = time.perf_counter()
        trans_id = f"tx{self._process}{next(self._numbers) & 0xFFFFFFFFF:09x}-{int(time.time()):010x}"
        call = None
        try:
            path = parse_path(request.target)
            if path is None and request.target.startswith(BROWSE):
                response = await browse.page(request, self._store, request.target.removeprefix(BROWSE))
            elif path is None:
                response = self._outside(request)
            else:
                token = request.header("x-auth-token") or request.header("x-storage-token")
                caller = await self._authenticate(token) if token else None
                call = Call(request, self._store, path, caller, trans_id, self._unseal)
                response = await self._dispatch(call, bool(token))
        except Exception as error:
            refused = refusal(error)
            if refused is None:
                raise
            response = refused.response()
            if request.method == "HEAD":
                response.length, response.body = len(response.body), b""  # type: ignore[arg-type]
        if call is not None:
            if b"origin" in request.headers and request.method != "OPTIONS":
                await cors.finish(call, response)
            if call.override:
                tempurl.finish(call, response)
        response.headers += (("X-Trans-Id", trans_id), ("X-Openstack-Request-Id", trans_id))
        measures.count("object-store", request.method, response.status, begun)
        return response

    async def _dispatch(self, call: Call, has_token: bool) -> Response:
        method = call.method
        if method == "OPTIONS":
            return await cors.preflight(call)
        if tempurl.asked(call):
            await tempurl.authorize(call)
        elif has_token and call.caller is None:
            raise access.refuse(call)
        rules = call.caller.access_rules if call.caller is not None else None
        if rules is not None:
            path = call.request.target.decode("utf-8", "replace").removeprefix(MOUNT.decode())
            if not allow(rules, "object-store", method, MOUNT.decode(), path):
                raise Refusal(403)
        if self._rate_limit is not None:
            await self._rate_limit.admit(call)
        if method in ("POST", "DELETE") and call.request.query and call.param("bulk-delete") is not None:
            call.container = call.name = None  # its paths are below the account, whatever it was sent to
        if call.container is None:
            return await accounts.handle(call)
        if method == "PUT" and call.request.query and (archive := call.param("extract-archive")) is not None:
            await access.authorize_container(call, await containers.find(call))
            return await bulk.extract(call, archive)
        if call.name is None:
            return await containers.handle(call)
        return await objects.handle(call)

    def _outside(self, request: Request) -> Response:
        """What is not below an account."""
        target = request.target.removeprefix(MOUNT)
        headers: list[tuple[str, str]]
        if target == b"/info":
            body, headers = self._info, [("Content-Type", "application/json; charset=UTF-8")]
        elif target == b"/healthcheck":
            body, headers = b"OK", [("Content-Type", "text/plain")]
        elif target == b"/metrics":
            body, headers = metrics.exposition(), [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")]
        elif target == b"/crossdomain.xml":
            body, headers = CROSSDOMAIN, [("Content-Type", "application/xml")]
        elif target in (b"", b"/"):
            body = json.dumps(
                {"versions": [{"id": "v1.0", "status": "CURRENT"}], "server": f"bivouac/{__version__}"}
            ).encode()
            headers = [("Content-Type", "application/json")]
        else:
            raise Refusal(404)
        if request.method not in ("GET", "HEAD", "OPTIONS"):
            raise Refusal(405, headers=[("Allow", "GET, HEAD")])
        return Response(200, headers, body if request.method != "HEAD" else b"", len(body))
