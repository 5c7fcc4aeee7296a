"""What `/metrics` shows to Prometheus."""

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()
REQUESTS = Histogram(
    "bivouac_request_seconds",
    "Time to answer API requests.",
    ("service", "method", "status"),
    registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30),
)
_of_request = lru_cache(maxsize=None)(REQUESTS.labels)
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
    _of_request(service, method, status).observe(seconds)


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
