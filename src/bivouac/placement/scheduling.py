"""Choosing a host: a pure verdict per host, and the words of a refusal.

Filters come first, in the order in which a reader wants the reason: is the host there at all, is it the right kind,
has it room. Among those that pass, weights decide: most free memory, then most free processors, with affinity before
both.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

SHOWN = 10
"""So many hosts are named in a refusal; the others are counted by reason."""


class Candidate(Struct, frozen=True):
    """A host as the scheduler sees it."""

    id: str
    name: str
    availability_zone: str
    vcpus_free: int
    memory_free_mib: int
    disk_free_gib: int
    up: bool = True
    disabled: bool = False
    traits: frozenset[str] = frozenset()
    architecture: str = "x86_64"
    largest_vcpus: int = 1 << 30
    """A server has at most so many processors, whatever the overcommit."""
    aggregates: tuple[dict[str, str], ...] = ()


class Request(Struct, frozen=True):
    """What one server asks of its host. An empty string or set asks nothing."""

    vcpus: int
    memory_mib: int
    disk_gib: int
    availability_zone: str = ""
    host: str = ""
    """Only this host, named by an administrator."""
    required_traits: frozenset[str] = frozenset()
    forbidden_traits: frozenset[str] = frozenset()
    architecture: str = ""
    aggregate_properties: dict[str, str] = {}
    only_hosts: frozenset[str] | None = None
    """Names of the only hosts that affinity leaves."""
    never_hosts: frozenset[str] = frozenset()
    """Names of the hosts that anti-affinity forbids."""
    affinity: str = "affinity"
    """Why `only_hosts` and `never_hosts` are so, for the refusal."""
    liked_hosts: dict[str, int] = {}
    """Host -> members of a soft-affinity group there (negative for soft anti-affinity)."""

    @property
    def is_plain(self) -> bool:
        """Whether free room and the zone decide alone, so that an index can pick the candidates."""
        return not (
            self.host or self.required_traits or self.forbidden_traits or self.architecture
            or self.aggregate_properties or self.only_hosts is not None or self.never_hosts or self.liked_hosts
        )  # fmt: skip


def judge(host: Candidate, request: Request) -> tuple[str, str]:
    """("", "") when the host fits; otherwise the kind of lack and its words."""
    if request.host and host.name != request.host:
        return "name", f"is not {request.host}, which was asked for"
    if host.disabled:
        return "disabled", "is disabled"
    if not host.up:
        return "down", "is down"
    if request.availability_zone and host.availability_zone != request.availability_zone:
        return "zone", f"is in zone {host.availability_zone}, not {request.availability_zone}"
    if request.architecture and host.architecture != request.architecture:
        return "architecture", f"is {host.architecture}, not {request.architecture}"
    if missing := request.required_traits - host.traits:
        return "traits", f"lacks {', '.join(sorted(missing))}"
    if unwanted := request.forbidden_traits & host.traits:
        return "traits", f"has {', '.join(sorted(unwanted))}, which is forbidden"
    for key, value in request.aggregate_properties.items():
        if not any(aggregate.get(key) == value for aggregate in host.aggregates):
            return "aggregate", f"is in no aggregate with {key}={value}"
    if request.only_hosts is not None and host.name not in request.only_hosts:
        return "affinity", f"is ruled out by {request.affinity}"
    if host.name in request.never_hosts:
        return "affinity", f"is ruled out by {request.affinity}"
    if request.memory_mib > host.memory_free_mib:
        return "memory", f"needs {request.memory_mib} MiB of memory, {max(0, host.memory_free_mib)} free"
    if request.vcpus > min(host.vcpus_free, host.largest_vcpus):
        free = max(0, min(host.vcpus_free, host.largest_vcpus))
        return "vcpus", f"needs {request.vcpus} vCPUs, {free} free"
    if request.disk_gib > host.disk_free_gib:
        return "disk", f"needs {request.disk_gib} GiB of disk, {max(0, host.disk_free_gib)} free"
    return "", ""


def best(hosts: Iterable[Candidate], request: Request) -> Candidate | None:
    """The fitting host of most weight."""
    fitting = [host for host in hosts if not judge(host, request)[0]]
    if not fitting:
        return None
    liked = request.liked_hosts
    return max(fitting, key=lambda host: (liked.get(host.name, 0), host.memory_free_mib, host.vcpus_free, host.name))


def refusal(hosts: Sequence[Candidate], request: Request) -> str:
    """`No valid host was found. host-1: needs 4096 MiB of memory, 1024 free; ...`"""
    if not hosts:
        return "No valid host was found. There are no hosts: no agent has registered yet."
    verdicts = [(host, *judge(host, request)) for host in hosts]
    # A host that was not asked for is no reason; that the one asked for does not exist is.
    verdicts = [one for one in verdicts if one[1] != "name"] or verdicts[:1]
    words = "; ".join(f"{host.name}: {reason}" for host, _, reason in verdicts[:SHOWN])
    rest = Counter(kind for _, kind, _ in verdicts[SHOWN:])
    if rest:
        counted = ", ".join(f"{count} for {kind}" for kind, count in rest.most_common())
        words += f"; and {sum(rest.values())} more ({counted})"
    return f"No valid host was found. {words}."
