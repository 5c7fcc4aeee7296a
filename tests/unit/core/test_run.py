"""Children and their limits."""

from bivouac.core.run import Limits, run

SHOW = ["sh", "-c", "ulimit -v; echo $MALLOC_ARENA_MAX"]


def test_threads_share_a_heap_where_addresses_are_few() -> None:
    """qemu-img failed now and then with "qemu_thread_create: Resource temporarily unavailable"."""
    assert run(SHOW, limits=Limits(address_space_bytes=1 << 30)).stdout.split() == [b"1048576", b"1"]
    assert run(SHOW, limits=Limits(address_space_bytes=1 << 30), env={"A": "b"}).stdout.split() == [b"1048576", b"1"]
    assert run(SHOW, limits=Limits(cpu_seconds=10)).stdout.split()[1:] == []
