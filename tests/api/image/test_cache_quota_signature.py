"""The cache API, quotas by unified limits, and signatures."""

import asyncio
import base64
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.x509.oid import NameOID
from image_cloud import Cloud
from test_imports import DATA, web, work  # noqa: F401 - a fixture

from bivouac.core.settings import Image as ImageSettings
from bivouac.core.store import Tx
from bivouac.identity.catalog_records import Limit, RegisteredLimit, Service
from bivouac.identity.records import Credential, Project, User
from bivouac.image.loops import CacheLoop


def fetch(cloud: Cloud) -> None:
    async def rounds() -> None:
        loop = CacheLoop(cloud.service)
        for key in await loop.due():
            await loop.step(key)

    asyncio.run(rounds())


def cached(cloud: Cloud) -> tuple[list[str], list[str]]:
    body = cloud.ask("GET", "/v2/cache", "admin").json
    return [one["image_id"] for one in body["cached_images"]], body["queued_images"]


def test_caching(make_cloud: Callable[..., Cloud], web: str) -> None:  # noqa: F811
    cloud = make_cloud(web_download_allow=[web.removeprefix("http://")])
    assert cloud.ask("GET", "/v2/cache").status == 403
    assert cloud.ask("PUT", "/v2/cache/non-existing-image-id", "admin").status == 404
    queued = cloud.image()
    assert cloud.ask("PUT", f"/v2/cache/{queued}", "admin").status == 400
    here, elsewhere = cloud.image(), cloud.image()
    cloud.upload(here, DATA)
    cloud.patch(elsewhere, {"add": "/locations/-", "value": {"url": f"{web}/image", "metadata": {}}})
    for image_id in (here, elsewhere):
        assert cloud.ask("PUT", f"/v2/cache/{image_id}").status == 403
        assert cloud.ask("PUT", f"/v2/cache/{image_id}", "admin").status == 202
    assert cached(cloud) == ([], [here, elsewhere]) or cached(cloud) == ([], [elsewhere, here])
    fetch(cloud)
    assert set(cached(cloud)[0]) == {here, elsewhere}
    for image_id in (here, elsewhere):
        assert cloud.ask("GET", f"/v2/images/{image_id}/file").body == DATA
        assert cloud.ask("GET", f"/v2/images/{image_id}/file", range="bytes=1-2").body == DATA[1:3]
    assert {one["hits"] for one in cloud.ask("GET", "/v2/cache", "admin").json["cached_images"]} == {2}
    assert cloud.ask("DELETE", "/v2/cache", "admin", x_image_cache_clear_target="invalid").status == 400
    assert cloud.ask("DELETE", f"/v2/cache/{here}", "admin").status == 204
    assert cached(cloud) == ([elsewhere], [])
    assert cloud.ask("DELETE", f"/v2/images/{elsewhere}").status == 204
    assert cached(cloud) == ([], [])
    cloud.ask("PUT", f"/v2/cache/{here}", "admin")
    assert cloud.ask("DELETE", "/v2/cache", "admin", x_image_cache_clear_target="cache").status == 204
    assert cached(cloud) == ([], [here])
    assert cloud.ask("DELETE", "/v2/cache", "admin").status == 204
    fetch(cloud)
    work(cloud)
    assert cached(cloud) == ([], [])
    assert os.listdir(cloud.service.blobs["cache"].folder) == []
    assert cloud.ask("GET", f"/v2/images/{here}/file").body == DATA


def test_the_cache_keeps_its_size(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(cache_max_bytes=2 * len(DATA))
    made = [cloud.image() for _ in range(3)]
    for image_id in made:
        cloud.upload(image_id, DATA)
    for image_id in made[:2]:
        assert cloud.ask("PUT", f"/v2/cache/{image_id}", "admin").status == 202
        fetch(cloud)
        cloud.clock.advance(10)
    cloud.ask("GET", f"/v2/images/{made[0]}/file")
    assert cloud.ask("POST", "/v2/cache/prune", "admin").json == {"total_files_pruned": 0, "total_bytes_pruned": 0}
    cloud.clock.advance(10)
    cloud.ask("PUT", f"/v2/cache/{made[2]}", "admin")
    fetch(cloud)
    assert set(cached(cloud)[0]) == {made[0], made[2]}
    cloud.service.settings = ImageSettings(cache_max_bytes=1)
    pruned = cloud.ask("POST", "/v2/cache/prune", "admin").json
    assert pruned == {"total_files_pruned": 2, "total_bytes_pruned": 2 * len(DATA)}
    work(cloud)
    assert (cached(cloud), os.listdir(cloud.service.blobs["cache"].folder)) == (([], []), [])


def test_cleaning_the_cache_forgets_what_is_not_there(cloud: Cloud) -> None:
    image_id = cloud.image()
    cloud.upload(image_id, DATA)
    cloud.ask("PUT", f"/v2/cache/{image_id}", "admin")
    assert cloud.ask("GET", f"/v2/cache/nodes/{image_id}", "admin").json == []
    fetch(cloud)
    assert cloud.ask("GET", f"/v2/cache/nodes/{image_id}", "admin").json == ["http://cloud:5000/image"]
    assert cloud.ask("POST", "/v2/cache/clean", "admin").status == 200
    assert cached(cloud) == ([image_id], [])
    folder = cloud.service.blobs["cache"].folder
    for name in os.listdir(folder):
        os.unlink(folder / name)
    (folder / "left.part").write_bytes(b"of a crash")
    assert cloud.ask("POST", "/v2/cache/clean", "admin").status == 200
    assert (cached(cloud), os.listdir(folder)) == (([], []), [])
    for method, path in (("POST", "clean"), ("POST", "prune"), ("GET", f"nodes/{image_id}")):
        assert cloud.ask(method, f"/v2/cache/{path}").status == 403
    assert cloud.ask("GET", f"/v2/cache/nodes/{os.urandom(16).hex()}", "admin").status == 404


def people(tx: Tx) -> None:
    """The projects and the user that rows of Identity refer to."""
    if tx.get(Project, "p1") is None:
        tx.insert(Project(id="default", name="Default", is_domain=True))
        for name in ("p1", "p2"):
            tx.insert(Project(id=name, name=name, domain_id="default", parent_id="default"))
        tx.insert(User(id="ann", name="ann", domain_id="default"))


def limit(tx: Tx, limits: dict[str, int]) -> None:
    people(tx)
    tx.upsert(Service(id="images", type="image"))
    for name, value in limits.items():
        tx.upsert(RegisteredLimit(id=name, service_id="images", resource_name=name, default_limit=value))


def test_quotas(cloud: Cloud) -> None:
    assert cloud.ask("GET", "/v2/info/usage").json == {"usage": {}}
    limits = {"image_count_total": 3, "image_size_total": 1, "image_count_uploading": 5, "image_stage_total": 2}
    cloud.store.write_now(limit, limits)
    first, second, third = (cloud.image() for _ in range(3))
    assert cloud.ask("POST", "/v2/images", body={}).status == 413
    assert cloud.ask("POST", "/v2/images", "other", body={}).status == 201
    stage = {"body": b"x" * (3 << 20), "media_type": "application/octet-stream"}
    size = str(3 << 20)
    assert cloud.ask("PUT", f"/v2/images/{third}/stage", content_length=size, **stage).status == 413
    assert cloud.upload(first, b"x" * (1 << 20)).status == 204
    assert cloud.ask("PUT", f"/v2/images/{second}/file", body=b"", media_type="application/octet-stream",
                     x_openstack_image_size="1").status == 413  # fmt: skip
    refused = cloud.upload(second, b"x")
    assert (refused.status, b"image_size_total" in refused.body) == (413, True)
    assert cloud.show(second)["status"] == "queued"
    usage = cloud.ask("GET", "/v2/info/usage").json["usage"]
    assert usage["image_count_total"] == {"limit": 3, "usage": 3}
    assert usage["image_size_total"] == {"limit": 1, "usage": 1}
    own = Limit(id="own", registered_limit_id="image_size_total", resource_limit=-1, project_id="p1")
    cloud.store.write_now(lambda tx: tx.insert(own))
    assert cloud.upload(second, b"x").status == 204


def certificate(key: Any, days: int = 10, start: datetime | None = None) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signer")])
    begin = start or datetime(2023, 11, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(begin).not_valid_after(begin + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(serialization.Encoding.PEM).decode()


RSA = rsa.generate_private_key(65537, 2048)
PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.MAX_LENGTH)


def signed(cloud: Cloud, pem: str, signature: bytes, kind: str = "RSA-PSS", project: str = "p1", **more: str) -> str:
    row = Credential(id=os.urandom(16).hex(), user_id="ann", type="certificate", blob=pem, project_id=project)
    cloud.store.write_now(people)
    cloud.store.write_now(lambda tx: tx.insert(cloud.service.vault.seal(tx, cloud.clock.now(), row)))
    fields = {
        "img_signature": base64.b64encode(signature).decode(),
        "img_signature_hash_method": "SHA-256",
        "img_signature_key_type": kind,
        "img_signature_certificate_uuid": row.id,
    }
    return cloud.image(**(fields | more))


def test_signatures_that_hold(cloud: Cloud) -> None:
    image_id = signed(cloud, certificate(RSA, 30), RSA.sign(DATA, PSS, hashes.SHA256()))
    assert cloud.upload(image_id, DATA).status == 204
    curve = ec.generate_private_key(ec.SECP384R1())
    image_id = signed(cloud, certificate(curve, 30), curve.sign(DATA, ec.ECDSA(hashes.SHA256())), "ECC_SECP384R1")
    assert cloud.upload(image_id, DATA).status == 204
    old = dsa.generate_private_key(2048)
    image_id = signed(cloud, certificate(old, 30), old.sign(DATA, hashes.SHA256()), "DSA")
    assert cloud.upload(image_id, DATA).status == 204


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"img_signature_hash_method": "MD5"}, "hash method"),
        ({"img_signature": "%%%"}, "base64"),
        ({"img_signature": base64.b64encode(b"x" * 256).decode()}, "does not fit"),
        ({"img_signature_key_type": "DSA"}, "not of type"),
        ({"img_signature_key_type": "ECC_SECP384R1"}, "not of type"),
        ({"img_signature_certificate_uuid": "0" * 32}, "no such credential"),
        ({"img_signature_certificate_uuid": ""}, "lacks"),
    ],
)
def test_signatures_that_do_not(cloud: Cloud, changes: dict[str, str], words: str) -> None:
    image_id = signed(cloud, certificate(RSA, 30), RSA.sign(DATA, PSS, hashes.SHA256()), **changes)
    answer = cloud.upload(image_id, DATA)
    assert (answer.status, words in answer.body.decode()) == (400, True)
    assert cloud.show(image_id)["status"] == "queued"
    assert os.listdir(cloud.service.blobs["local"].folder) == []


def test_other_bytes_an_old_certificate_and_a_strangers(cloud: Cloud, tmp_path: Path) -> None:
    signature = RSA.sign(DATA, PSS, hashes.SHA256())
    assert cloud.upload(signed(cloud, certificate(RSA, 30), signature), DATA[:-1] + b"\0").status == 400
    old = signed(cloud, certificate(RSA, 3), signature)
    assert b"not valid now" in cloud.upload(old, DATA).body
    assert (
        b"no such credential" in cloud.upload(signed(cloud, certificate(RSA, 30), signature, project="p2"), DATA).body
    )
    assert b"PEM" in cloud.upload(signed(cloud, "no pem", signature), DATA).body
