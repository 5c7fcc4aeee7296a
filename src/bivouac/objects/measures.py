"""What the object store's process shows to Prometheus: its requests, and what the store holds.

Sums come from the counters that each commit keeps, so that a scrape costs the same with a million objects as with one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from bivouac.core import metrics
from bivouac.objects.store import EmbeddedStore
from bivouac.objects.store.auditor import Auditor

METHODS = frozenset(("GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS"))
"""Others are counted together: a client must not be able to make up labels without end."""


def count(door: str, method: str, status: int, begun: float) -> None:
    """One answered request; `begun` is `time.perf_counter()` when it arrived."""
    known = method if method in METHODS else "other"
    metrics.observe_request(door, known, status, time.perf_counter() - begun)


class StoreMeasures:
    """A collector for `core.metrics.REGISTRY`."""

    def __init__(self, store: EmbeddedStore, auditor: Auditor) -> None:
        self._store, self._auditor = store, auditor

    def collect(self) -> Iterator[Metric]:
        connection = self._store.connection
        objects, size, older, older_size, containers = connection.execute(
            "SELECT total(objects), total(bytes), total(older_versions), total(older_bytes), total(containers)"
            " FROM account_usage"
        ).get
        page = connection.pragma("page_size")
        for name, text, value in (
            ("accounts", "Accounts.", connection.execute("SELECT count(*) FROM accounts").get),
            ("containers", "Containers and buckets.", containers),
            ("objects", "Current objects.", objects),
            ("bytes", "Bytes of current objects.", size),
            ("older_versions", "Older versions and delete markers.", older),
            ("older_version_bytes", "Bytes of older versions.", older_size),
            ("index_bytes", "Size of the index, small objects included.", connection.pragma("page_count") * page),
            ("index_free_bytes", "Free space in the index.", connection.pragma("freelist_count") * page),
            ("garbage_files", "Files that wait to be removed.", connection.execute("SELECT count(*) FROM garbage").get),
            ("failed", "1 when the index failed and no write is accepted.", int(self._store.committer.failed)),
            ("audit_findings", "Damage the auditor found in this round.", len(self._auditor.findings)),
        ):
            yield GaugeMetricFamily(f"bivouac_objects_{name}", text, value=value)
        committer = self._store.committer
        yield CounterMetricFamily("bivouac_objects_commits", "Commits of the index.", value=committer.commits)
        yield CounterMetricFamily("bivouac_objects_writes", "Writes in these commits.", value=committer.operations)
        yield CounterMetricFamily("bivouac_objects_audited_bytes", "Bytes audited.", value=self._auditor.audited_bytes)
