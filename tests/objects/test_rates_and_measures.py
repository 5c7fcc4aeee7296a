"""Rate limits hold writers back and refuse those far beyond; what the process counts is shown to Prometheus."""


import pytest
from prometheus_client.parser import text_string_to_metric_families
from swift_client import Cloud

from bivouac.core import metrics
from bivouac.objects.measures import StoreMeasures
from bivouac.objects.store.auditor import Auditor
from bivouac.objects.swift.ratelimit import PATIENCE_S, RateLimit


class Turns:
    """A clock that only moves when somebody waits. `waits` are their lengths."""

    def __init__(self):
        self.now, self.waits = 1000.0, []

    async def sleep(self, seconds):
        self.waits.append(seconds)

    def limit(self, **rates):
        return RateLimit(**rates, now=lambda: self.now, sleep=self.sleep)


@pytest.fixture
def limited(tmp_path):
    turns = Turns()
    cloud = Cloud(str(tmp_path), turns.limit(account_writes=2, container_writes=4))
    yield cloud, turns
    cloud.stop()


def test_writers_above_the_rate_wait_and_then_are_refused(limited):
    cloud, turns = limited
    assert cloud.call("PUT", "/box").status == 201
    assert turns.waits == []
    for number in range(1, 21):
        assert cloud.call("PUT", "/box/key", b"x").status == 201
        assert turns.waits == [index / 4 for index in range(1, number)]
    assert turns.waits[-1] < PATIENCE_S
    assert cloud.call("PUT", "/box/key", b"x").status == 201
    refused = cloud.call("PUT", "/box/key", b"y")
    assert refused.status == 498
    assert int(refused.headers["retry-after"]) > PATIENCE_S
    # Another container has a rate of its own, readers have none, and time heals.
    assert cloud.call("PUT", "/other").status == 201
    before = len(turns.waits)
    assert cloud.call("PUT", "/other/key", b"x").status == 201
    assert cloud.call("GET", "/box/key").body == b"x"
    assert len(turns.waits) == before
    turns.now += 60
    assert cloud.call("DELETE", "/box/key").status == 204
    assert len(turns.waits) == before


def test_the_limits_are_published_only_where_there_are_some(limited, tmp_path):
    cloud, _ = limited
    assert cloud.call("GET", "/info", raw=True).json["ratelimit"] == {
        "account_ratelimit": 2,
        "container_ratelimits": [[0, 4]],
        "max_sleep_time_seconds": PATIENCE_S,
    }
    unlimited = Cloud(str(tmp_path / "unlimited"), RateLimit())
    assert "ratelimit" not in unlimited.call("GET", "/info", raw=True).json
    unlimited.stop()


def test_measures(cloud, box):
    def samples():
        text = cloud.call("GET", "/metrics", raw=True, token=None).body.decode()
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    measures = StoreMeasures(cloud.store, Auditor(cloud.store))
    metrics.REGISTRY.register(measures)
    try:
        before = samples()
        cloud.call("PUT", f"/{box}/key", b"12345")
        cloud.call("GET", f"/{box}/missing")
        cloud.call("BREW", f"/{box}/missing")
        after = samples()
    finally:
        metrics.REGISTRY.unregister(measures)

    def grown(*key):
        return after.get(key, 0) - before.get(key, 0)

    assert grown("bivouac_objects_objects") == 1
    assert grown("bivouac_objects_bytes") == 5
    assert grown("bivouac_objects_writes_total") == 1
    assert grown("bivouac_request_seconds_count", "201", "PUT", "object-store") == 1
    assert grown("bivouac_request_seconds_count", "404", "GET", "object-store") == 1
    assert grown("bivouac_request_seconds_count", "405", "object-store", "other") == 1
    assert after["bivouac_objects_failed",] == 0
    assert not any("BREW" in key for key in after)
