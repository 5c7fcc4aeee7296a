"""Fixtures of the object store's tests over HTTP."""

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from swift_client import Cloud  # noqa: E402


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    cloud = Cloud(str(tmp_path_factory.mktemp("objects")))
    yield cloud
    cloud.stop()


_numbers = itertools.count()


@pytest.fixture
def box(cloud):
    """An empty container of the test's own."""
    name = f"box-{next(_numbers)}"
    answer = cloud.call("PUT", f"/{name}")
    assert answer.status == 201, answer.body
    return name
