"""Signature version 4 against the examples of the Amazon S3 API Reference, and the traps of its canonical form."""

from __future__ import annotations

import hashlib

import pytest

from bivouac.s3.errors import S3Error
from bivouac.s3.signing import chunks, v4

from .requests import make

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EMPTY = hashlib.sha256(b"").hexdigest()
HOST = "examplebucket.s3.amazonaws.com"
STAMP = "20130524T000000Z"


def authorization(signed: str, signature: str) -> str:
    scope = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={signed},Signature={signature}"


EXAMPLES = [
    (
        "GET",
        "/test.txt",
        {"range": "bytes=0-9"},
        EMPTY,
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    (
        "PUT",
        "/test$file.text",
        {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
        hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    (
        "GET",
        "/?lifecycle",
        {},
        EMPTY,
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    (
        "GET",
        "/?max-keys=2&prefix=J",
        {},
        EMPTY,
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
]


@pytest.mark.parametrize(("method", "target", "extra", "payload", "signed", "signature"), EXAMPLES)
def test_examples_of_the_reference(
    method: str, target: str, extra: dict[str, str], payload: str, signed: str, signature: str
) -> None:
    headers = {"host": HOST, "x-amz-content-sha256": payload, "x-amz-date": STAMP, **extra}
    request = make(method, target, {**headers, "authorization": authorization(signed, signature)})
    found = v4.from_header(request)
    v4.check_signed_headers(request, found)
    v4.check_time(found, found.moment + 60)
    v4.check(request, found, SECRET, payload)
    with pytest.raises(S3Error, match="does not match"):
        v4.check(request, found, SECRET + "x", payload)
    with pytest.raises(S3Error, match="does not match"):
        v4.check(make("DELETE", target, request.headers), found, SECRET, payload)


PRESIGNED = (
    "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
    f"aws4_request&X-Amz-Date={STAMP}&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


def test_the_presigned_example_holds_for_a_day() -> None:
    request = make("GET", PRESIGNED, {"host": HOST})
    found = v4.from_query(request)
    v4.check(request, found, SECRET, v4.UNSIGNED)
    v4.check_time(found, found.moment + 86_399)
    with pytest.raises(S3Error, match="expired"):
        v4.check_time(found, found.moment + 86_401)
    with pytest.raises(S3Error, match="not valid yet"):
        v4.check_time(found, found.moment - 3600)


@pytest.mark.parametrize("expires", ["0", "-1", "604801", "x"])
def test_presigned_addresses_last_at_most_a_week(expires: str) -> None:
    with pytest.raises(S3Error) as refused:
        v4.from_query(make("GET", PRESIGNED.replace("Expires=86400", f"Expires={expires}"), {"host": HOST}))
    assert refused.value.code == "AuthorizationQueryParametersError"


def test_a_header_added_on_the_way_is_refused() -> None:
    request = make("GET", PRESIGNED, {"host": HOST, "x-amz-acl": "public-read"})
    with pytest.raises(S3Error, match="not signed"):
        v4.check_signed_headers(request, v4.from_query(request))


def test_a_clock_that_is_far_off_is_told_so() -> None:
    found = v4.Signature("A", "20130524", "r", "s3", ("host",), "x", STAMP, v4.parse_timestamp(STAMP))
    v4.check_time(found, found.moment + 899)
    for now in (found.moment + 901, found.moment - 901):
        with pytest.raises(S3Error) as refused:
            v4.check_time(found, now)
        assert refused.value.code == "RequestTimeTooSkewed"


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"/a/b", "/a/b"),
        (b"/a%2Fb", "/a/b"),
        (b"/a//b/./c/../d", "/a//b/./c/../d"),
        (b"/~%7E%7e", "/~~~"),
        (b"/a+b%20c*(d)", "/a%2Bb%20c%2A%28d%29"),
        (b"/%e4%BD%a0", "/%E4%BD%A0"),
        ("/ä".encode(), "/%C3%A4"),
        (b"/%ff", "/%FF"),
    ],
)
def test_paths_are_encoded_in_one_way_only(raw: bytes, canonical: str) -> None:
    assert v4.canonical_path(raw) == canonical


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        ("b=2&a=1&a=0", "a=0&a=1&b=2"),
        ("acl", "acl="),
        ("prefix=a/b c+d%2Be", "prefix=a%2Fb%20c%20d%2Be"),
        ("a-b=1&a=2&a.b=3", "a=2&a-b=1&a.b=3"),
        ("x=%e4", "x=%E4"),
        ("x=%C3%A4%7E", "x=%C3%A4~"),
    ],
)
def test_queries_are_sorted_by_their_encoded_form(query: str, canonical: str) -> None:
    assert v4.canonical_query(make("GET", "/?" + query).pairs) == canonical


def test_header_values_lose_their_surplus_spaces() -> None:
    request = make("GET", "/", {"host": "h", "x-amz-meta-a": "  one   two\t three "})
    assert "x-amz-meta-a:one two\t three\n" in v4.canonical_request(request, ("host", "x-amz-meta-a"), EMPTY, False)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("AWS4-HMAC-SHA256 SignedHeaders=host,Signature=x", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=a/b,SignedHeaders=host,Signature=x", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 nonsense", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=a/2/r/s3/aws4_request,SignedHeaders=host,Signature=x", "SignatureDoesNotMatch"),
    ],
)
def test_what_is_no_signature_is_refused(value: str, code: str) -> None:
    with pytest.raises(S3Error) as refused:
        v4.from_header(make("GET", "/", {"authorization": value, "x-amz-date": STAMP}))
    assert refused.value.code == code


CHUNK_SIGNATURES = (
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
)


def chunked_example() -> tuple[v4.Signature, bytes, bytes]:
    """(signature of the request, its key, the coded body) of the reference's example of 66,560 letters a."""
    headers = {
        "host": "s3.amazonaws.com",
        "content-encoding": "aws-chunked",
        "content-length": "66824",
        "x-amz-content-sha256": chunks.SIGNED,
        "x-amz-date": STAMP,
        "x-amz-decoded-content-length": "66560",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
    }
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    request = make("PUT", "/examplebucket/chunkObject.txt", headers)
    request.headers["authorization"] = authorization(";".join(sorted(headers)), seed)
    found = v4.from_header(request)
    key = v4.check(request, found, SECRET, chunks.SIGNED)
    body = b""
    for size, signature in zip((65536, 1024, 0), CHUNK_SIGNATURES, strict=True):
        body += f"{size:x};chunk-signature={signature}\r\n".encode() + b"a" * size + b"\r\n"
    return found, key, body


@pytest.mark.parametrize("step", [1, 7, 1000, 100_000])
def test_the_chunked_example_however_it_arrives(step: int) -> None:
    found, key, body = chunked_example()
    decoder = chunks.Decoder(chunks.SIGNED, found, key)
    out = b"".join(piece for at in range(0, len(body), step) for piece in decoder.feed(body[at : at + step]))
    decoder.finish()
    assert out == b"a" * 66_560 and decoder.done


def test_a_changed_byte_or_a_missing_end_is_noticed() -> None:
    found, key, body = chunked_example()
    changed = bytearray(body)
    changed[70_000 - 4000] ^= 1
    with pytest.raises(S3Error, match="chunk"):
        chunks.Decoder(chunks.SIGNED, found, key).feed(bytes(changed))
    decoder = chunks.Decoder(chunks.SIGNED, found, key)
    decoder.feed(body[:-90])
    with pytest.raises(S3Error) as refused:
        decoder.finish()
    assert refused.value.code == "IncompleteBody"


def test_trailers_come_behind_the_last_chunk() -> None:
    decoder = chunks.Decoder(chunks.UNSIGNED_TRAILER, None, None)
    out = decoder.feed(b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n")
    decoder.finish()
    assert (b"".join(out), decoder.trailers) == (b"hello", {"x-amz-checksum-crc32": "NhCmhg=="})


def signed_trailer(trailer: str) -> bytes:
    """A body with signed chunks and a signed trailer, made by the rules of the reference."""
    found, key, _ = chunked_example()
    prefix, previous, body = f"{found.timestamp}\n{found.scope}\n", found.signature, b""
    for data in (b"hello", b""):
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{prefix}{previous}\n{EMPTY}\n{hashlib.sha256(data).hexdigest()}"
        previous = v4.sign(key, text)
        body += f"{len(data):x};chunk-signature={previous}\r\n".encode() + data + (b"\r\n" if data else b"")
    hashed = hashlib.sha256(f"{trailer}\n".encode()).hexdigest()
    previous = v4.sign(key, f"AWS4-HMAC-SHA256-TRAILER\n{prefix}{previous}\n{hashed}")
    return body + f"{trailer}\r\nx-amz-trailer-signature:{previous}\r\n\r\n".encode()


def test_signed_trailers_are_checked() -> None:
    found, key, _ = chunked_example()
    body = signed_trailer("x-amz-checksum-crc32:NhCmhg==")
    decoder = chunks.Decoder(chunks.SIGNED_TRAILER, found, key)
    assert b"".join(decoder.feed(body)) == b"hello"
    decoder.finish()
    assert decoder.trailers == {"x-amz-checksum-crc32": "NhCmhg=="}
    with pytest.raises(S3Error, match="trailer"):
        chunks.Decoder(chunks.SIGNED_TRAILER, found, key).feed(body.replace(b"NhCm", b"NhCn"))
    unsigned = body[: body.index(b"x-amz-trailer-signature")] + b"\r\n"
    with pytest.raises(S3Error, match="not signed"):
        chunks.Decoder(chunks.SIGNED_TRAILER, found, key).feed(unsigned)


@pytest.mark.parametrize(
    "body", [b"zz\r\n", b"-1\r\n", b"2\r\nabc\r\n", b"0\r\nno colon\r\n\r\n", b"1" * 20_000, b"0\r\n\r\nmore"]
)
def test_nonsense_is_refused(body: bytes) -> None:
    with pytest.raises(S3Error):
        chunks.Decoder(chunks.UNSIGNED_TRAILER, None, None).feed(body)
