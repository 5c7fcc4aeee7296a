"""What `/metrics` shows to Prometheus."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric

REGISTRY = CollectorRegistry()
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
"""Upper bounds in seconds of the histogram of request times."""

_requests: dict[tuple[str, str, int], list[float]] = {}
"""(service, method, status) -> requests per bucket (the last: longer than all), then the sum of seconds."""


class _RequestCollector:
    """Shows `_requests`: counting in a dict costs a tenth of the library's own histogram, once for each request."""

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            "bivouac_request_seconds", "Time to answer API requests.", labels=("service", "method", "status")
        )
        bounds = [*map(str, BUCKETS), "+Inf"]
        for (service, method, status), counts in list(_requests.items()):
            cumulated = list(accumulate(counts[:-1]))
            family.add_metric((service, method, str(status)), list(zip(bounds, cumulated, strict=True)), counts[-1])
        yield family


REGISTRY.register(_RequestCollector())  # type: ignore[arg-type]
LOOP_STEPS = Counter("bivouac_loop_steps_total", "Steps of reconcile loops.", ("loop", "result"), registry=REGISTRY)
LOOP_WAITING = Gauge("bivouac_loop_keys", "Keys that wait for a step.", ("loop",), registry=REGISTRY)
OVERDUE = Gauge(
    "bivouac_overdue_resources",
    "Resources in a transitional state past their deadline (must be 0).",
    ("resource",),
    registry=REGISTRY,
)


def observe_request(service: str, method: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    counts = _requests.get((service, method, status))
    if counts is None:
        counts = _requests[service, method, status] = [0.0] * (len(BUCKETS) + 2)
    counts[bisect_left(BUCKETS, seconds)] += 1
    counts[-1] += seconds


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
