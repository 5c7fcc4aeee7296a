"""The lookup of credentials that the object store's process gives to the door."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bivouac.core.call import Caller
from bivouac.objects.identity import Unavailable
from bivouac.s3.errors import S3Error
from bivouac.s3.opening import lookup_of

WHO = Caller(user_id="u", user_name="n", project_id="p")


class Known:
    async def ec2_credential(self, access: str) -> tuple[str, Any] | None:
        if access == "broken":
            raise Unavailable("nobody answers")
        return ("secret", WHO) if access == "known" else None


def test_known_unknown_and_not_to_be_asked() -> None:
    lookup = lookup_of(Known())
    found = asyncio.run(lookup("known"))
    assert found is not None and (found.secret, found.caller) == ("secret", WHO)
    assert asyncio.run(lookup("unknown")) is None
    with pytest.raises(S3Error) as refused:
        asyncio.run(lookup("broken"))
    assert refused.value.status == 503
