"""Fixtures of the Compute API's tests."""

from collections.abc import Callable, Iterator

import pytest

from bivouac.core.store import Store

from .cloud import PACKAGES, Cloud


@pytest.fixture
def cloud(make_store: Callable[..., Store]) -> Iterator[Cloud]:
    """A cloud with one host, one flavor and no server."""
    made = Cloud(make_store(*PACKAGES))
    made.add_host("host-1")
    made.flavor()
    yield made
    made.close()
