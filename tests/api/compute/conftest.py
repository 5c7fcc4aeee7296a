"""Fixtures of the Compute API's tests."""

from collections.abc import Callable, Iterator

import pytest

from bivouac.compute import neighbours
from bivouac.core.store import Store

from .cloud import PACKAGES, Cloud


@pytest.fixture
def cloud(make_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A cloud with one host, one flavor and no server."""
    made = Cloud(make_store(*PACKAGES))
    monkeypatch.setattr(neighbours, "network", lambda: made.network)
    monkeypatch.setattr(neighbours, "image", lambda: made.image)
    made.add_host("host-1")
    made.flavor()
    yield made
    made.close()
