from collections.abc import Callable

import pytest

from bivouac.core.store import Store

from .client import Cloud


@pytest.fixture
def cloud(make_store: Callable[..., Store]) -> Cloud:
    return Cloud(make_store("bivouac.placement", "bivouac.network"))
