"""Google Cloud Storage's XML interoperability: HMAC keys under the name GOOG1, and Google's header names."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import time
from collections.abc import Iterator
from email.utils import formatdate
from urllib.parse import quote

import pytest

pytest.importorskip("boto3")

from s3_service import Service  # noqa: E402


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("google"))
    yield service
    service.stop()


def sign(text: str) -> str:
    return base64.b64encode(hmac.digest(b"secret-main", text.encode(), hashlib.sha1)).decode()


def ask(
    service: Service, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, secret: str = ""
) -> tuple[int, dict[str, str], bytes]:
    """A request signed as Google's documentation tells, with its own names."""
    headers = {"Date": formatdate(usegmt=True)} | (headers or {})
    own = sorted((name.lower(), value) for name, value in headers.items() if name.lower().startswith("x-goog-"))
    date = "" if "x-goog-date" in dict(own) else headers["Date"]
    lines = [method, "", headers.get("Content-Type", ""), date, *(f"{name}:{value}" for name, value in own)]
    headers["Authorization"] = f"GOOG1 main:{secret or sign(chr(10).join([*lines, path]))}"
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_a_day_with_hmac_keys(service: Service) -> None:
    assert ask(service, "PUT", "/box")[0] == 200
    sent = {"x-goog-meta-colour": "red", "x-goog-acl": "public-read", "Content-Type": "text/plain"}
    assert ask(service, "PUT", "/box/key", b"hello", sent)[0] == 200
    status, headers, body = ask(service, "GET", "/box/key", headers={"x-goog-date": formatdate(usegmt=True)})
    assert (status, body, headers["x-goog-meta-colour"]) == (200, b"hello", "red")
    assert not any(name.startswith("x-amz-meta-") for name in headers)
    # The same object under Amazon's names.
    assert service.client().get_object(Bucket="box", Key="key")["Metadata"] == {"colour": "red"}
    grants = service.client().get_object_acl(Bucket="box", Key="key")["Grants"]
    assert any(grant["Grantee"].get("URI", "").endswith("AllUsers") for grant in grants)
    assert ask(service, "PUT", "/box/copy", headers={"x-goog-copy-source": "/box/key"})[0] == 200
    assert ask(service, "GET", "/box/copy")[2] == b"hello"
    assert b"<Key>copy</Key>" in ask(service, "GET", "/box")[2]
    for path in ("/box/key", "/box/copy", "/box"):
        assert ask(service, "DELETE", path)[0] == 204


def test_signed_addresses_and_wrong_signatures(service: Service) -> None:
    assert ask(service, "PUT", "/signed")[0] == 200
    assert ask(service, "PUT", "/signed/key", b"hello")[0] == 200
    expires = int(time.time()) + 60
    signature = sign(f"GET\n\n\n{expires}\n/signed/key")
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    query = f"GoogleAccessId=main&Expires={expires}&Signature={quote(signature, safe='')}"
    connection.request("GET", f"/signed/key?{query}")
    assert connection.getresponse().read() == b"hello"
    connection.close()
    status, _, body = ask(service, "GET", "/signed/key", secret=sign("something else"))
    assert status == 403 and b"SignatureDoesNotMatch" in body
    late = {"x-goog-date": formatdate(time.time() - 3600, usegmt=True)}
    assert b"RequestTimeTooSkewed" in ask(service, "GET", "/signed/key", headers=late)[2]
