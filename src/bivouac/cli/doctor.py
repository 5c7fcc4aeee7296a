"""`bivouac doctor`: look at this machine and say what is missing, what that means, and how to mend it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bivouac.core.run import CommandError, Limits
from bivouac.core.run import run as run_program
from bivouac.core.settings import Settings, SettingsError, load

from .layout import USER, Layout, user_ids
from .processes import belonging_to, holder_of_port, read_pid_file

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/share/ovn/scripts"
NOBODY = (65534, 65534)
NEEDED_DISK_BYTES = 1 << 30
COMFORTABLE_DISK_BYTES = 5 << 30
NEEDED_MEMORY_BYTES = 1 << 30
COMFORTABLE_MEMORY_BYTES = 3 << 30
MAX_STATE_PATH_BYTES = 40
"""The longest socket below a state directory adds 67 bytes: agent/, a server's id, its monitor."""

ONLY_FOR_REAL_HOSTS = ("root", "programs", "tun")
"""Findings that a cloud of simulated hosts can live with."""

PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "ovs-vswitchd": "openvswitch-switch",
    "ovsdb-server": "openvswitch-switch",
    "ovn-northd": "ovn-central",
    "ovn-controller": "ovn-host",
    "ip": "iproute2",
    "nft": "nftables",
    "genisoimage": "genisoimage",
    "ssh-keygen": "openssh-client",
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `mend` says what to do when it is not well."""

    name: str
    state: Literal["ok", "note", "bad"]
    what: str
    mend: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json` for programs."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(options: argparse.Namespace) -> int:
    """Print all findings; 0 when nothing is bad."""
    findings = list(examine(Path(options.state)))
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        report(findings)
    return 1 if any(finding.state == "bad" for finding in findings) else 0


def report(findings: Iterable[Finding], only_bad: bool = False) -> None:
    """Print findings, each with its remedy below it."""
    for finding in findings:
        if only_bad and finding.state != "bad":
            continue
        mark = {"ok": "ok  ", "note": "note", "bad": "BAD "}[finding.state]
        print(f"{mark}  {finding.name:<12} {finding.what}")
        if finding.mend:
            print(f"{'':<18} -> {finding.mend}")


def examine(state: Path, quick: bool = False) -> Iterator[Finding]:
    """All findings, cheapest first. `quick` leaves out what takes more than a few milliseconds."""
    yield _machine()
    yield _python()
    yield _state(state)
    yield _root()
    yield _programs()
    yield _tun()
    yield _memory()
    yield _disk(state)
    try:
        settings = load(str(state))
    except SettingsError as error:
        yield Finding("settings", "bad", str(error), "correct the file or the environment variable")
    else:
        yield from _ports(settings, state)
    yield _readable()
    if quick:
        return
    yield _nftables()
    yield _datapath()
    yield _accelerator()


def _machine() -> Finding:
    system, machine, release = platform.system(), platform.machine(), platform.release()
    if (system, machine) != ("Linux", "x86_64"):
        return Finding("machine", "bad", f"{system} on {machine}", "Bivouac runs on Linux on x86_64 machines")
    numbers = tuple(int(word) for word in release.split("-")[0].split(".")[:2] if word.isdigit())
    if numbers < (5, 10):
        return Finding("machine", "bad", f"Linux {release} is too old", "use a kernel of 5.10 or newer")
    return Finding("machine", "ok", f"Linux {release}, {os.cpu_count()} processors")


def _python() -> Finding:
    return Finding("python", "ok", f"Python {platform.python_version()}, {sys.executable}")


def _state(state: Path) -> Finding:
    length = len(os.fsencode(str(state)))
    if length > MAX_STATE_PATH_BYTES:
        what = f"{state} is {length} bytes long: the paths of Unix sockets below it would pass the kernel's 107"
        return Finding("state", "bad", what, f"choose a path of at most {MAX_STATE_PATH_BYTES} bytes with --state DIR")
    return Finding("state", "ok", str(state))


def _root() -> Finding:
    if os.geteuid() == 0:
        return Finding("root", "ok", "running as root")
    return Finding("root", "bad", "not root: networks and guests need it", "run this with sudo")


def _programs() -> Finding:
    missing = {name: package for name, package in PROGRAMS.items() if not shutil.which(name, path=SEARCH_PATH)}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        return Finding("programs", "bad", f"not installed: {', '.join(sorted(missing))}", f"apt-get install {packages}")
    return Finding("programs", "ok", f"all {len(PROGRAMS)} programs are installed")


def _tun() -> Finding:
    try:
        with open("/dev/net/tun", "rb"):
            return Finding("tun", "ok", "/dev/net/tun opens")
    except PermissionError:
        return Finding("tun", "note", "/dev/net/tun cannot be opened by this user", "run this with sudo to be sure")
    except OSError as error:
        mend = "modprobe tun; in a container, give it the device"
        return Finding("tun", "bad", f"/dev/net/tun: {error.strerror}: no guest can have a network card", mend)


def _memory() -> Finding:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) << 10
    text = f"{available / (1 << 30):.1f} GiB of memory available"
    if available < NEEDED_MEMORY_BYTES:
        return Finding("memory", "bad", text, "the cloud takes 300 MiB and each guest its own; free at least 1 GiB")
    if available < COMFORTABLE_MEMORY_BYTES:
        return Finding("memory", "note", text, "enough for a few tiny guests")
    return Finding("memory", "ok", text)


def _disk(state: Path) -> Finding:
    folder = state
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / (1 << 30):.1f} GiB free for {state}"
    if free < NEEDED_DISK_BYTES:
        return Finding("disk", "bad", text, "free at least 1 GiB there, or choose another place with --state DIR")
    if free < COMFORTABLE_DISK_BYTES:
        return Finding("disk", "note", text, "enough for tiny guests only")
    return Finding("disk", "ok", text)


def _ports(settings: Settings, state: Path) -> Iterator[Finding]:
    if read_pid_file(Layout(state).pid_file("supervisor")):
        yield Finding("ports", "ok", "in use by this cloud, which runs")
        return
    host = settings.http.host
    wanted = {"http.port": settings.http.port}
    wanted |= {"object_store.swift_port": settings.object_store.swift_port}
    wanted |= {"object_store.s3_port": settings.object_store.s3_port}
    if settings.secure:
        wanted |= {"hosts.agents_port": settings.hosts.agents_port}
        if settings.drivers == "real":
            wanted |= {"hosts.southbound_port": settings.hosts.southbound_port}
    # The supervisor alone may have died: the next one adopts the processes it left.
    left = {identity.pid for identity, _ in belonging_to(state)}
    taken = False
    for name, port in wanted.items():
        try:
            with socket.create_server((host, port)):
                continue
        except OSError as error:
            holder = holder_of_port(port)
            if holder and holder[0] in left:
                continue
            taken = True
            by = f"is in use by {holder[1]} (pid {holder[0]})" if holder else f"cannot be used: {error.strerror}"
            variable = f"BIVOUAC_{name.replace('.', '_').upper()}"
            mend = f"stop that program, or set {name} in {state}/bivouac.toml (or {variable}) to a free port"
            yield Finding("ports", "bad", f"{host}:{port} {by}", mend)
    if not taken:
        yield Finding("ports", "ok", f"{', '.join(map(str, wanted.values()))} are free on {host}, or this cloud's")


def _readable() -> Finding:
    if os.geteuid() != 0:
        return Finding("software", "note", "whether the unprivileged user can read it, only root can try")
    import bivouac

    package = Path(bivouac.__file__)
    try:
        user = user_ids() or NOBODY
        run_program([sys.executable, "-c", f"open({str(package)!r})"], limits=Limits(user=user), timeout_s=20)
    except (CommandError, OSError):
        mend = f"move it to a place that everybody may read, /opt for instance, or use script/up; {sys.executable} too"
        return Finding("software", "bad", f"user {USER} cannot run {package.parent}: control would not start", mend)
    return Finding("software", "ok", f"user {USER} can run {package.parent}")


def _nftables() -> Finding:
    return _tried("nftables", ["nft", "list", "tables"], "firewall rules for the way out work", "modprobe nf_tables")


def _tried(name: str, command: list[str], well: str, mend: str) -> Finding:
    try:
        run_program(command, timeout_s=10)
    except CommandError as error:
        return Finding(name, "bad", str(error), mend)
    return Finding(name, "ok", well)


def _datapath() -> Finding:
    loaded = Path("/sys/module/openvswitch").exists()
    modules = Path("/lib/modules") / platform.release()
    if loaded or any(modules.glob("kernel/net/openvswitch/openvswitch.ko*")):
        return Finding("datapath", "ok", "the kernel has Open vSwitch")
    what = "this kernel has no openvswitch module: the userspace datapath is used, which is slower"
    return Finding("datapath", "note", what, "nothing has to be done; apt-get install a stock kernel for more speed")


def _accelerator() -> Finding:
    from bivouac.drivers.hypervisor.qemu.accelerator import decide

    qemu = shutil.which("qemu-system-x86_64", path=SEARCH_PATH)
    if qemu is None:
        return Finding("kvm", "note", "cannot be tried without QEMU")
    verdict = decide(qemu)
    if verdict.accelerator == "kvm":
        return Finding("kvm", "ok", "a guest was run under KVM")
    mend = "switch virtualization on in the firmware, or nested virtualization in the host; slow guests work too"
    return Finding("kvm", "note", f"guests will be emulated, ten times slower: {verdict.reason}", mend)
