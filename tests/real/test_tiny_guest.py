"""The tiny guest, booted for real in each of its three ways and looked at from inside."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
from plain_guest import PASSWORD, PlainGuest, metadata_service, overlay, wait_for

from bivouac.guestimage.tiny import COMMAND_LINE, TinyImage, build_tiny

USER_DATA = "#!/bin/sh\necho ran as $(id -un) >> /root/user-data-ran\n"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> TinyImage:
    return build_tiny(tmp_path_factory.mktemp("tiny"))


def virtio_disk(path: Path, format: str = "qcow2") -> list[str]:
    return ["-drive", f"file={path},format={format},if=virtio"]


def test_kernel_ramdisk_and_disk_with_the_openstack_metadata_service(image: TinyImage, tmp_path: Path) -> None:
    answers: dict[str, str] = {"/openstack/latest/user_data": USER_DATA}
    disk = overlay(image.disk, tmp_path / "disk.qcow2", "20G")
    boot = ["-kernel", str(image.kernel_elf), "-initrd", str(image.ramdisk), "-append", COMMAND_LINE]
    with metadata_service(answers) as port, PlainGuest(tmp_path, [*boot, *virtio_disk(disk)], port) as guest:
        answers["/openstack/latest/meta_data.json"] = json.dumps(
            {
                "uuid": "11111111-2222-3333-4444-555555555555",
                "hostname": "first.example.org",
                "public_keys": {"mine": guest.make_key() + "\n"},
            }
        )
        console = guest.wait_for_console("guest: READY")
        assert "DATASOURCE openstack" in console and "USERDATA status=0" in console
        assert guest.ssh("hostname") == "first"
        assert guest.ssh("id -un", user="root") == "root"
        assert guest.ssh("sudo id -u && sudo -u cirros id -un").split() == ["0", "cirros"]
        assert guest.ssh("sudo cat /root/user-data-ran") == "ran as root"
        grown_kib = int(guest.ssh("df -k / | awk 'NR==2 {print $2}'"))
        assert grown_kib > 19 << 20, "the root file system did not grow with its disk"
        everything_that_tests_ask_for(guest)
        guest.monitor("system_powerdown")
        guest.wait_for_end()


def test_a_guest_whose_power_is_cut_right_after_its_first_boot_boots_again(image: TinyImage, tmp_path: Path) -> None:
    disk = overlay(image.disk, tmp_path / "disk.qcow2", "2G")
    boot = ["-kernel", str(image.kernel_elf), "-initrd", str(image.ramdisk), "-append", COMMAND_LINE]
    (tmp_path / "first").mkdir()
    with PlainGuest(tmp_path / "first", [*boot, *virtio_disk(disk)]) as guest:
        guest.wait_for_console("4192256 sectors, status=0")
    with PlainGuest(tmp_path, [*boot, *virtio_disk(disk)]) as guest:
        assert "EXT4-fs error" not in guest.wait_for_console("guest: READY")


def everything_that_tests_ask_for(guest: PlainGuest) -> None:
    prologue = "set -eu -o pipefail; PATH=$PATH:/sbin:/usr/sbin; "
    assert "169.254.169.15/24" in guest.ssh(prologue + "ip -o -4 addr show dev eth0")
    # QEMU's user network announces fec0::/64.
    wait_for("an IPv6 address by SLAAC", lambda: "fec0:" in guest.ssh("ip -o -6 addr show dev eth0"), 30)
    assert "vda" in guest.ssh(prologue + "lsblk -lb --nodeps").split()
    assert guest.ssh("lsblk -S -o NAME") == ""
    assert guest.ssh("sudo blkid -L guest-root") == "/dev/vda1"
    assert guest.ssh("cat /sys/class/net/eth0/address").startswith("52:54:00")
    guest.ssh("ping -c1 -w5 127.0.0.1 && sudo ping -c1 -w5 -I lo 127.0.0.1 && ping6 -c1 -w5 ::1")
    assert "uuid" in guest.ssh("curl http://169.254.169.254/openstack/latest/meta_data.json")
    assert guest.ssh("curl -X POST -d some=data http://169.254.169.254/anything") == "some=data"
    guest.ssh("sudo nc -lk -p 8080 -e echo hello </dev/null >/dev/null 2>&1 &")
    wait_for("an answer from nc", lambda: "hello" in guest.ssh("sleep 0.2; nc 127.0.0.1 8080 || true"), 20)
    assert "hello" in guest.ssh("nc 127.0.0.1 8080"), "nc -k did not go on listening"
    guest.ssh("sudo nc -u -p 8081 -lk -e echo foolish </dev/null >/dev/null 2>&1 &")
    ask = "echo bar | nc -w 1 -u 127.0.0.1 8081 || true"
    wait_for("an answer over UDP", lambda: "foolish" in guest.ssh(f"sleep 0.2; {ask}"), 20)
    assert "foolish" in guest.ssh(ask), "nc -u -k did not go on listening"
    lease = "sudo /bin/kill -USR1 $(cat /var/run/udhcpc.eth0.pid)"
    guest.ssh(lease)
    for command in ("-t ext4", "-t vfat"):
        guest.ssh(f"dd if=/dev/zero of=/tmp/fs bs=1M count=8 2>/dev/null && sudo mkfs {command} /tmp/fs && sync")
    guest.ssh("md5sum /etc/hostname | cut -c1-8 && timeout 1 true && date && cat /proc/uptime")
    assert guest.agent("guest-ping") == {}
    assert guest.agent("guest-fsfreeze-status") == "thawed"
    new_password = base64.b64encode(b"new secret").decode()
    guest.agent("guest-set-user-password", username="cirros", password=new_password, crypted=False)
    assert guest.ssh("id -un", password="new secret") == "cirros"


def test_disk_alone_with_a_config_drive(image: TinyImage, tmp_path: Path) -> None:
    folder = tmp_path / "drive/openstack/latest"
    folder.mkdir(parents=True)
    (folder / "meta_data.json").write_text(
        json.dumps({"uuid": "99999999-2222-3333-4444-555555555555", "hostname": "second", "admin_pass": "Zq7secret"})
    )
    (folder / "user_data").write_text(USER_DATA)
    drive = tmp_path / "config.iso"
    subprocess.run(
        ["genisoimage", "-quiet", "-J", "-r", "-V", "config-2", "-o", str(drive), str(tmp_path / "drive")], check=True
    )
    disk = overlay(image.disk, tmp_path / "disk.qcow2", "96M")
    with PlainGuest(tmp_path, [*virtio_disk(disk), *virtio_disk(drive, "raw")]) as guest:
        assert "DATASOURCE config-drive" in guest.wait_for_console("guest: READY")
        assert guest.ssh("hostname", password="Zq7secret") == "second"
        assert guest.ssh("sudo cat /root/user-data-ran", password="Zq7secret") == "ran as root"
        guest.agent("guest-info")


def test_memory_only_with_the_ec2_metadata_service(image: TinyImage, tmp_path: Path) -> None:
    answers = {"/latest/meta-data/instance-id": "i-0001", "/latest/meta-data/hostname": "third.example.org"}
    boot = ["-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", COMMAND_LINE]
    with metadata_service(answers) as port, PlainGuest(tmp_path, boot, port) as guest:
        answers["/latest/meta-data/public-keys/0/openssh-key"] = guest.make_key() + "\n"
        assert "DATASOURCE ec2" in guest.wait_for_console("guest: READY")
        assert guest.ssh("hostname") == "third"
        assert guest.ssh("id -un", password=PASSWORD) == "cirros"
