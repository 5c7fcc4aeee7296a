"""From rows to what a host is told: `ServerSpec`s, as pure as the rows allow."""

from collections.abc import Mapping, Sequence
from typing import Any

from bivouac.core.store import Tx
from bivouac.hostspec.network import NetworkSpec
from bivouac.hostspec.server import DiskSpec, GuestMetadata, OperationSpec, PortSpec, ServerSpec, WantedPower
from bivouac.network import for_compute as network_service
from bivouac.network.for_compute import ServerPort

from .records import Server, ServerAction
from .states import TASKS

TRUE_WORDS = frozenset({"true", "yes", "1", "on"})
BUSES = frozenset({"virtio", "scsi", "ide", "sata", "usb"})
MODELS = frozenset({"virtio", "e1000", "e1000e", "rtl8139"})


def specs_of_host(tx: Tx, host: str) -> tuple[tuple[ServerSpec, ...], tuple[NetworkSpec, ...]]:
    """Everything a host should run: what a complete `Wanted` says."""
    servers = tx.select(Server, "WHERE host = ? AND deleted_at IS NULL", host)
    return specs(tx, servers), network_service.network_specs(tx, host)


def spec_of(tx: Tx, server: Server) -> tuple[ServerSpec, tuple[NetworkSpec, ...]]:
    """One server and the networks it is on. A deleted one is wanted absent."""
    ports = network_service.ports_of(tx, [server.id]).get(server.id, [])
    network_ids = sorted({port.network_id for port in ports})
    networks = network_service.network_specs(tx, server.host, network_ids) if network_ids else ()
    return specs(tx, [server])[0], networks


def specs(tx: Tx, servers: Sequence[Server]) -> tuple[ServerSpec, ...]:
    """Specs of servers, with their ports and pending operations in a few statements."""
    if not servers:
        return ()
    ids = [server.id for server in servers]
    ports = network_service.ports_of(tx, ids)
    operations: dict[str, list[ServerAction]] = {}
    for start in range(0, len(ids), 500):
        chunk = ids[start : start + 500]
        marks = ", ".join("?" for _ in chunk)
        for action in tx.select(
            ServerAction, f"WHERE state = 'pending' AND server_id IN ({marks}) ORDER BY start_time", *chunk
        ):
            if action.task and TASKS[action.task].operation:
                operations.setdefault(action.server_id, []).append(action)
    return tuple(
        build(server, ports.get(server.id, ()), operations.get(server.id, ()),
              network_service.network_data(tx, server.id) if ports.get(server.id) else {})
        for server in servers
    )  # fmt: skip


def build(
    server: Server,
    ports: Sequence[ServerPort],
    operations: Sequence[ServerAction] = (),
    network_data: Mapping[str, Any] | None = None,
) -> ServerSpec:
    """The spec of one server."""
    properties = server.image_properties
    model = properties.get("hw_vif_model", "virtio")
    return ServerSpec(
        id=server.id,
        generation=server.generation,
        power=_power(server),
        vcpus=server.vcpus,
        memory_mib=server.memory_mib,
        disks=disks_of(server),
        ports=tuple(
            PortSpec(
                id=port.id, network_id=port.network_id, mac_address=port.mac_address, mtu=port.mtu,
                model=model if model in MODELS else "virtio", tag=port.tag,  # type: ignore[arg-type]
            )
            for port in ports
        ),
        metadata=guest_metadata(server, ports, network_data or {}),
        kernel=server.boot.kernel,
        ramdisk=server.boot.ramdisk,
        kernel_command_line=properties.get("os_command_line", ""),
        firmware="uefi" if properties.get("hw_firmware_type") == "uefi" else "bios",
        config_drive=server.config_drive,
        guest_agent=properties.get("hw_qemu_guest_agent", "").lower() in TRUE_WORDS,
        operations=tuple(
            OperationSpec(
                id=action.request_id, kind=TASKS[action.task].operation, arguments=action.arguments,  # type: ignore[arg-type]
                deadline=action.start_time + TASKS[action.task].deadline_s,
            )
            for action in (() if server.restart else operations)
        ),
    )  # fmt: skip


def _power(server: Server) -> WantedPower:
    if server.deleted_at is not None:
        return "absent"
    return "stopped" if server.restart else server.power_wanted  # type: ignore[return-value]


def disks_of(server: Server) -> tuple[DiskSpec, ...]:
    """Root disk, then what the flavor or the request adds; in rescue the rescue disk boots first."""
    bus = server.image_properties.get("hw_disk_bus", "virtio")
    bus = bus if bus in BUSES else "virtio"
    flavor = server.flavor
    root = DiskSpec(
        name="root", size_bytes=flavor.root_gib << 30 or server.boot.root_bytes, kind="root", image=server.boot.image,
        bus=bus, boot_index=0, tag=server.root_tag,  # type: ignore[arg-type]
    )  # fmt: skip
    disks = []
    if server.boot.rescue is not None:
        disks.append(
            DiskSpec(name="rescue", size_bytes=max(root.size_bytes, server.boot.rescue.min_disk_bytes), kind="root",
                     image=server.boot.rescue, bus=bus, boot_index=0)  # type: ignore[arg-type]
        )  # fmt: skip
        root = DiskSpec(name="root", size_bytes=root.size_bytes, kind="root", image=root.image, bus=root.bus,
                        boot_index=1, tag=root.tag)  # fmt: skip
    disks.append(root)
    ephemeral = [disk for disk in server.disks if disk.kind == "ephemeral"]
    if not ephemeral and flavor.ephemeral_gib:
        disks.append(
            DiskSpec(name="ephemeral0", size_bytes=flavor.ephemeral_gib << 30, kind="ephemeral", bus=bus,  # type: ignore[arg-type]
                     filesystem="vfat")
        )  # fmt: skip
    for index, disk in enumerate(ephemeral):
        disks.append(
            DiskSpec(name=f"ephemeral{index}", size_bytes=disk.size_gib << 30, kind="ephemeral",
                     bus=disk.bus or bus, filesystem=disk.filesystem or "vfat", tag=disk.tag)  # type: ignore[arg-type]
        )  # fmt: skip
    swap_mib = next((disk.size_mib for disk in server.disks if disk.kind == "swap"), flavor.swap_mib)
    if swap_mib:
        disks.append(DiskSpec(name="swap", size_bytes=swap_mib << 20, kind="swap", bus=bus))  # type: ignore[arg-type]
    return tuple(disks)


def guest_metadata(
    server: Server, ports: Sequence[ServerPort], network_data: Mapping[str, Any]
) -> GuestMetadata:
    """What the guest may read about itself."""
    fixed = [one.address for port in ports for one in port.addresses if one.kind == "fixed"]
    floating = [one.address for port in ports for one in port.addresses if one.kind == "floating"]
    key = {server.key_name: server.key_data} if server.key_name and server.key_data else {}
    devices: list[dict[str, Any]] = [
        {"type": "nic", "bus": "pci", "address": "", "mac": port.mac_address, "tags": [port.tag]}
        for port in ports
        if port.tag
    ]
    devices += [
        {"type": "disk", "bus": "pci", "address": "", "serial": disk.serial, "path": "", "tags": [disk.tag]}
        for disk in disks_of(server)
        if disk.tag
    ]
    return GuestMetadata(
        hostname=server.hostname,
        name=server.name,
        project_id=server.project_id,
        availability_zone=server.availability_zone,
        launch_index=server.launch_index,
        reservation_id=server.reservation_id,
        instance_type=server.flavor.name,
        image_id=server.image_id,
        public_keys=key,
        key_types=dict.fromkeys(key, server.key_type),
        meta=server.metadata,
        admin_password=server.admin_password,
        user_data=server.user_data or "",
        network_data=dict(network_data),
        devices=tuple(devices),
        fixed_ips=tuple(fixed),
        floating_ip=floating[0] if floating else "",
        security_groups=tuple(dict.fromkeys(name for port in ports for name in port.security_groups)),
        files=server.files,
    )
