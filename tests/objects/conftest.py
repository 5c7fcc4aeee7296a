"""Fixtures of the object store's tests over HTTP."""

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


@pytest.fixture
def box(cloud, request):
    """An empty container, named after the test."""
    name = "box-" + request.node.name.replace("[", "-").replace("]", "")[:200]
    answer = cloud.call("PUT", f"/{name}")
    assert answer.status == 201, answer.body
    return name
