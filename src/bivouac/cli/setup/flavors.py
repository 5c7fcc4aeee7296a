"""Flavors: the names that the Sovereign Cloud Stack makes mandatory, and a few tiny ones for tests.

Source: SCS-0103-v1 "Standard Flavors and Properties": `SCS-<vcpus><V|L>-<ram GiB>[-<disk GB>[s]]`.
"""

from __future__ import annotations

import re
from typing import Any

from ..client import Cloud

MANDATORY = (
    *("SCS-1V-4", "SCS-2V-8", "SCS-4V-16", "SCS-8V-32", "SCS-1V-2", "SCS-2V-4", "SCS-4V-8", "SCS-8V-16", "SCS-16V-32"),
    *("SCS-1V-8", "SCS-2V-16", "SCS-4V-32", "SCS-1L-1", "SCS-2V-4-20s", "SCS-4V-16-100s"),
)
RECOMMENDED = (
    *("SCS-1V-4-10", "SCS-2V-8-20", "SCS-4V-16-50", "SCS-8V-32-100", "SCS-1V-2-5", "SCS-1V-2-10", "SCS-2V-4-10"),
    *("SCS-4V-8-20", "SCS-8V-16-50", "SCS-16V-32-100", "SCS-1V-8-20", "SCS-2V-16-50", "SCS-4V-32-100", "SCS-1L-1-5"),
)
TINY = (("m1.nano", 1, 192, 1), ("m1.micro", 1, 256, 1), ("m1.tiny", 1, 512, 1))
"""Name, processors, MiB of memory, GiB of disk: enough for the tiny guest."""

_NAME = re.compile(r"SCS-(?P<vcpus>\d+)(?P<kind>[VL])-(?P<memory>\d+)(-(?P<disk>\d+)(?P<ssd>s?))?$")
_KINDS = {"V": "shared-core", "L": "crowded-core"}


def scs_flavor(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What an SCS name means: the flavor's fields, and its extra specs."""
    match = _NAME.match(name)
    if match is None:
        raise ValueError(f"{name} is not an SCS flavor name")
    disk = int(match["disk"] or 0)
    fields = {"name": name, "vcpus": int(match["vcpus"]), "ram": int(match["memory"]) << 10, "disk": disk}
    old_name = f"SCS-{match['vcpus']}{match['kind']}:{match['memory']}" + (f":{disk}{match['ssd']}" if disk else "")
    specs = {"scs:name-v1": old_name, "scs:name-v2": name, "scs:cpu-type": _KINDS[match["kind"]]}
    if disk:
        specs["scs:disk0-type"] = "ssd" if match["ssd"] else "network"
    return fields, specs


def ensure_flavors(cloud: Cloud) -> str:
    """Make the flavors that are not there. Returns what to tell."""
    base = cloud.endpoint("compute")
    present = {flavor["name"] for flavor in cloud.get(base, "/flavors?limit=1000")["flavors"]}
    made = 0
    for name, vcpus, memory_mib, disk_gib in TINY:
        if name not in present:
            _make(cloud, base, {"name": name, "vcpus": vcpus, "ram": memory_mib, "disk": disk_gib}, {})
            made += 1
    for name in (*MANDATORY, *RECOMMENDED):
        if name not in present:
            _make(cloud, base, *scs_flavor(name))
            made += 1
    return f"{made} made" if made else "all there"


def _make(cloud: Cloud, base: str, fields: dict[str, Any], specs: dict[str, str]) -> None:
    flavor = cloud.post(base, "/flavors", {"flavor": fields})["flavor"]
    if specs:
        cloud.post(base, f"/flavors/{flavor['id']}/os-extra_specs", {"extra_specs": specs})
