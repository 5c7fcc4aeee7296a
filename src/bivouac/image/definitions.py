"""Our own metadata definitions: the properties of images and flavors that Bivouac understands, and nothing else.

What stands here is what compute, the drivers and the image service act upon; a property that nobody reads would be a
false promise. They are put in place at the first start, and brought up to date when this table changes.
"""

from typing import Any

from bivouac.core.ids import new_uuid
from bivouac.core.store import Tx

from .metadef_records import AssociationRow, ItemRow, NamespaceRow, ResourceTypeRow

RESOURCE_TYPES = ("OS::Cinder::Snapshot", "OS::Cinder::Volume", "OS::Glance::Image", "OS::Nova::Aggregate",
                  "OS::Nova::Flavor", "OS::Nova::Server", "OS::Neutron::Network")  # fmt: skip

Definition = dict[str, Any]


def _text(title: str, description: str, *choices: str) -> Definition:
    definition: Definition = {"title": title, "description": description, "type": "string"}
    return definition | ({"enum": list(choices)} if choices else {})


NAMESPACES: dict[str, Definition] = {
    "OS::Bivouac::Hardware": {
        "display_name": "Virtual hardware",
        "description": "What a server made from the image gets: set by an import that looked inside, or by hand.",
        "properties": {
            "hw_disk_bus": _text("Disk bus", "How the guest sees its disks. A guest without virtio drivers needs "
                                 "another than virtio.", "virtio", "scsi", "ide", "sata", "usb"),
            "hw_vif_model": _text("Network card", "Which network card the guest sees.",
                                  "virtio", "e1000", "e1000e", "rtl8139"),
            "hw_firmware_type": _text("Firmware", "What starts the guest: a disk with an EFI system partition and no "
                                      "boot loader in its first sector needs uefi.", "bios", "uefi"),
            "hw_qemu_guest_agent": _text("Guest agent", "Whether the guest runs the QEMU guest agent, by which "
                                         "passwords are set and file systems are frozen.", "yes", "no"),
            "img_config_drive": _text("Configuration drive", "Whether servers get a configuration drive unless asked "
                                      "otherwise.", "mandatory", "optional"),
        },
    },
    "OS::Bivouac::Boot": {
        "display_name": "Direct boot",
        "description": "Kernel and ramdisk by themselves: the guest starts without a boot loader.",
        "properties": {
            "kernel_id": _text("Kernel", "The image (aki) that is started."),
            "ramdisk_id": _text("Ramdisk", "The image (ari) that the kernel gets."),
            "os_command_line": _text("Command line", "What the kernel is told."),
        },
    },
    "OS::Bivouac::Guest": {
        "display_name": "Guest system",
        "description": "What runs inside, for those who choose an image.",
        "properties": {
            "os_distro": _text("Distribution", "In lower case, as in its own os-release (debian, ubuntu, windows)."),
            "os_version": _text("Version", "As its distributor writes it."),
            "os_admin_user": _text("Administrator", "The user whose password is set (root, Administrator)."),
            "architecture": _text("Architecture", "The processor that it was made for.", "x86_64"),
        },
    },
    "OS::Bivouac::Signature": {
        "display_name": "Signature",
        "description": "A signature of the image's bytes, verified while they come in.",
        "properties": {
            "img_signature": _text("Signature", "In base64."),
            "img_signature_hash_method": _text("Hash", "With which it was made.",
                                               "SHA-224", "SHA-256", "SHA-384", "SHA-512"),
            "img_signature_key_type": _text("Key", "With which kind of key.", "RSA-PSS", "DSA", "ECC_SECT571K1",
                                            "ECC_SECT409K1", "ECC_SECT571R1", "ECC_SECT409R1", "ECC_SECP521R1",
                                            "ECC_SECP384R1"),
            "img_signature_certificate_uuid": _text("Certificate", "The credential of type certificate that holds "
                                                    "the signer's certificate in PEM."),
        },
    },
}  # fmt: skip
_ASSOCIATIONS = ("OS::Glance::Image", "OS::Cinder::Volume")


def put_in_place(tx: Tx, now: float) -> None:
    """Make what is missing; change what is ours and differs. Others' definitions stay as they are."""
    for name in RESOURCE_TYPES:
        if tx.get(ResourceTypeRow, name) is None:
            tx.insert(ResourceTypeRow(name=name, protected=True, created_at=now, updated_at=now))
    for name, definition in NAMESPACES.items():
        _put_namespace(tx, name, definition, now)


def _put_namespace(tx: Tx, name: str, definition: Definition, now: float) -> None:
    fields = {"display_name": definition["display_name"], "description": definition["description"],
              "visibility": "public", "protected": True, "owner": "admin"}  # fmt: skip
    row = tx.first(NamespaceRow, "WHERE namespace = ?", name)
    if row is None:
        row = tx.insert(NamespaceRow(id=new_uuid(), namespace=name, created_at=now, updated_at=now, **fields))
    else:
        row = tx.update(row, **fields)
    for resource_type in _ASSOCIATIONS:
        if tx.get(AssociationRow, row.id, resource_type) is None:
            tx.insert(AssociationRow(namespace_id=row.id, resource_type=resource_type, created_at=now, updated_at=now))
    there = {item.name: item for item in tx.select(ItemRow, "WHERE namespace_id = ? AND kind = 'property'", row.id)}
    for key, document in definition["properties"].items():
        if key not in there:
            tx.insert(ItemRow(id=new_uuid(), namespace_id=row.id, kind="property", name=key, document=document,
                              created_at=now, updated_at=now))  # fmt: skip
        else:
            tx.update(there.pop(key), document=document)
    for item in there.values():
        if item.name not in definition["properties"]:
            tx.delete(item)
