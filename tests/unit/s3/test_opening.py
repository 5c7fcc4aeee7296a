"""The lookup of credentials that the object store's process gives to the door."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from bivouac.core.call import Caller
from bivouac.core.settings import ObjectStore, Settings
from bivouac.objects.store import EmbeddedStore
from bivouac.s3.opening import lookup_of, open_door

WHO = Caller(user_id="u", user_name="n", project_id="p")


class Known:
    """As much of Identity as the lookup asks."""

    async def find_email(self, address: str) -> str | None:
        return None

    async def project_exists(self, project: str) -> bool:
        return False

    async def ec2_credential(self, access: str) -> tuple[str, Any] | None:
        return ("secret", WHO) if access == "known" else None


def test_known_and_unknown() -> None:
    lookup = lookup_of(Known())
    found = asyncio.run(lookup("known"))
    assert found is not None and (found.secret, found.caller) == ("secret", WHO)
    assert asyncio.run(lookup("unknown")) is None


def test_the_door_has_what_settings_and_identity_give(tmp_path: Path) -> None:
    settings = Settings(state=str(tmp_path), object_store=ObjectStore(s3_domains=["objects.example.com"]))

    async def main() -> None:
        store = await EmbeddedStore.open(str(settings.objects_path))
        known = Known()
        door = (await open_door(store, settings, known)).door
        assert door.domains == ("objects.example.com",)
        assert door.find_email == known.find_email
        assert door.project_exists == known.project_exists
        await door.close()
        await store.close()

    asyncio.run(main())
