"""Debian 12 with the real cloud-init, built and booted. Two to four minutes, so only when asked for."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from plain_guest import PlainGuest, overlay, wait_for

from bivouac.guestimage.debian import build_debian

pytestmark = [
    pytest.mark.skipif(not os.environ.get("BIVOUAC_TEST_DEBIAN"), reason="set BIVOUAC_TEST_DEBIAN=1 to build Debian"),
    pytest.mark.timeout(1200),
]


def test_cloud_init_takes_key_name_and_user_data_from_a_config_drive(tmp_path: Path) -> None:
    given = os.environ["BIVOUAC_TEST_DEBIAN"]
    image = Path(given) if given.endswith(".qcow2") else build_debian(tmp_path / "image")
    latest = tmp_path / "drive/openstack/latest"
    latest.mkdir(parents=True)
    drive = tmp_path / "config.iso"
    drive.write_bytes(bytes(1 << 20))
    disk = overlay(image, tmp_path / "disk.qcow2", "5G")
    key = PlainGuest.new_key(tmp_path)
    document = {"uuid": "d0000000-0000-4000-8000-000000000001", "hostname": "twelve", "public_keys": {"mine": key}}
    (latest / "meta_data.json").write_text(json.dumps(document))
    (latest / "user_data").write_text("#cloud-config\nwrite_files:\n- {path: /etc/written, content: by cloud-init}\n")
    command = ["genisoimage", "-quiet", "-J", "-r", "-V", "config-2", "-o", str(drive), str(tmp_path / "drive")]
    subprocess.run(command, check=True)
    boot = ["-drive", f"file={disk},format=qcow2,if=virtio", "-drive", f"file={drive},format=raw,if=virtio"]
    with PlainGuest(tmp_path, boot, memory_mib=768) as guest:
        guest.wait_for_console("login:", timeout_s=600)

        def written() -> str:
            return guest.ssh("cat /etc/written; sudo cloud-init status --wait >/dev/null; true", user="debian")

        assert wait_for("cloud-init's file", written, 300) == "by cloud-init"
        assert guest.ssh("hostname", user="debian") == "twelve"
        assert int(guest.ssh("df -k / | awk 'NR==2 {print $2}'", user="debian")) > 4 << 20
