"""What users keep under `/credentials` cannot be read from the database alone."""

from pathlib import Path

import pytest

from bivouac.core.store import Tx
from bivouac.identity.records import Credential, CredentialKey
from bivouac.identity.vault import ROTATION_S, Vault, VaultError

from .conftest import Cloud

BLOB = "a certificate of great value"


def keep(cloud: Cloud, blob: str = BLOB) -> str:
    body = {"credential": {"type": "cert", "blob": blob, "user_id": cloud.made.admin_user_id}}
    answer = cloud.post("/v3/credentials", body)
    assert answer["credential"]["blob"] == blob
    return answer["credential"]["id"]


def stored(cloud: Cloud, credential_id: str) -> Credential:
    row = cloud.store.read_now(lambda tx: tx.get(Credential, credential_id))
    assert row is not None
    return row


def shown(cloud: Cloud, credential_id: str) -> str:
    return cloud.get(f"/v3/credentials/{credential_id}")["credential"]["blob"]


def upkeep(cloud: Cloud, vault: Vault) -> None:
    cloud.store.write_now(vault.upkeep, cloud.clock.now())


def key_ids(cloud: Cloud) -> list[int]:
    return [key.id for key in cloud.store.read_now(lambda tx: tx.select(CredentialKey, "ORDER BY id"))]


def key_file(cloud: Cloud) -> Path:
    return cloud.settings.control_path / "credential-key"


def test_the_database_holds_no_secret_in_the_clear(cloud: Cloud) -> None:
    who = cloud.made.admin_user_id
    credential = keep(cloud)
    key = cloud.post(f"/v3/users/{who}/credentials/OS-EC2", {"tenant_id": cloud.made.admin_project_id})["credential"]
    cloud.patch(f"/v3/credentials/{credential}", {"credential": {"blob": BLOB + " indeed"}})
    for table in ("credentials", "credential_keys", "changes"):
        text = repr(cloud.store.read_now(lambda tx, table=table: tx.query(f"SELECT * FROM {table}")))
        assert BLOB not in text
        assert key["secret"] not in text
    assert shown(cloud, credential) == BLOB + " indeed"
    assert cloud.get(f"/v3/users/{who}/credentials/OS-EC2/{key['access']}")["credential"] == key
    assert key_file(cloud).stat().st_mode & 0o777 == 0o600


def test_keys_rotate_by_themselves_and_rows_follow(cloud: Cloud) -> None:
    vault, credential = cloud.identity.vault, keep(cloud)
    first = stored(cloud, credential)
    upkeep(cloud, vault)
    assert stored(cloud, credential) == first, "nothing to do yet"
    for newest in (2, 3):
        cloud.clock.advance(ROTATION_S)
        upkeep(cloud, vault)
        assert stored(cloud, credential).key_id == newest
        assert shown(cloud, credential) == BLOB
    assert key_ids(cloud) == [2, 3]
    assert stored(cloud, keep(cloud)).key_id == 3


def test_the_key_of_the_state_directory_is_changed_by_a_new_line(cloud: Cloud) -> None:
    credential, old = keep(cloud), key_file(cloud).read_text()
    key_file(cloud).write_text("ab" * 32 + "\n" + old)
    upkeep(cloud, Vault(key_file(cloud)))
    key_file(cloud).write_text("ab" * 32 + "\n")
    after = Vault(key_file(cloud))
    opened = cloud.store.read_now(lambda tx: after.open(tx, stored(cloud, credential)))
    assert opened.blob == BLOB


@pytest.mark.parametrize(
    ("text", "reason"),
    [("ab" * 32, "another key than the one in"), (None, "another"), ("abcd", "32 bytes"), ("xyz", "cannot be read")],
)
def test_a_wrong_key_file_is_told_at_start(cloud: Cloud, text: str | None, reason: str) -> None:
    keep(cloud)
    key_file(cloud).unlink()
    if text is not None:
        key_file(cloud).write_text(text)
    with pytest.raises(VaultError, match=reason):
        upkeep(cloud, Vault(key_file(cloud)))


def test_a_row_does_not_open_in_the_place_of_another(cloud: Cloud) -> None:
    one, other = keep(cloud), keep(cloud, "x")

    def swap(tx: Tx) -> None:
        mine, theirs = tx.get(Credential, one), tx.get(Credential, other)
        assert mine is not None
        assert theirs is not None
        tx.update(mine, blob=theirs.blob)

    cloud.store.write_now(swap)
    with pytest.raises(VaultError, match="was changed"):
        cloud.store.read_now(lambda tx: cloud.identity.vault.open(tx, stored(cloud, one)))


def test_what_was_kept_in_the_clear_before_is_sealed(cloud: Cloud) -> None:
    credential = keep(cloud)

    def as_before(tx: Tx) -> None:
        tx.update(stored(cloud, credential), blob=BLOB, key_id=None)

    cloud.store.write_now(as_before)
    assert shown(cloud, credential) == BLOB
    upkeep(cloud, cloud.identity.vault)
    assert stored(cloud, credential).blob != BLOB
    assert shown(cloud, credential) == BLOB
