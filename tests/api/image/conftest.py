"""Fixtures of the image service's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from image_cloud import Cloud

from bivouac.core.settings import Image as ImageSettings
from bivouac.core.store import Store


@pytest.fixture
def make_cloud(make_store: Callable[..., Store], tmp_path: Path) -> Callable[..., Cloud]:
    def make(**settings: Any) -> Cloud:
        return Cloud(make_store("bivouac.identity", "bivouac.image"), tmp_path / "images", ImageSettings(**settings))

    return make


@pytest.fixture
def cloud(make_cloud: Callable[..., Cloud]) -> Iterator[Cloud]:
    return make_cloud()
