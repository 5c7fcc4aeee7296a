"""Where things lie in a state directory, and whose they are.

    STATE/                 root's; everybody may pass through, nobody may list
      bivouac.toml         optional settings
      run/                 root's: what the supervisor knows (pid files, lock, status.json)
      log/                 one file for each process, rotated
      image/               the tiny guest, once built
      control/, objects/   the unprivileged user's: databases, image bytes, objects, the agents' socket
      agent/               root's: guests, disks, network daemons; what it joined with, on a further host
      authority/           root's: the certificate authority, where the APIs listen beyond loopback
      access/              what the first run leaves for its user: openrc files, demo-key
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

USER = os.environ.get("BIVOUAC_USER", "bivouac")
"""Who control and the object store run as. A developer whose Python only root can read may say `root`."""

DEFAULT_STATE = Path("/var/lib/bivouac")


@dataclass(frozen=True)
class Layout:
    """The paths of one state directory."""

    state: Path

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def lock(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.run / "lock"

    @property
    def status(self) -> Path:
        """What the supervisor last knew, for `bivouac status`."""
        return self.run / "status.json"

    @property
    def control_socket(self) -> Path:
        """As core/settings says; here so that `status` needs no settings."""
        return self.state / "control/control.sock"

    @property
    def image(self) -> Path:
        return self.state / "image"

    @property
    def admin_password(self) -> Path:
        """Made by control at its first start, readable by root and the cloud's user only."""
        return self.state / "control/admin-password"

    @property
    def membership(self) -> Path:
        """On a further host: what its agent joined the cloud with."""
        return self.state / "agent/membership.json"

    def pid_file(self, name: str) -> Path:
        return self.run / f"{name}.pid"

    def log_file(self, name: str) -> Path:
        return self.log / f"{name}.log"


def user_ids(name: str = USER) -> tuple[int, int] | None:
    """The uid and gid of a user; None when there is none of that name."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def make_state_directory(layout: Layout, owner: tuple[int, int]) -> None:
    """Make the folders that are not there and put owner and modes right. Raises OSError."""
    layout.state.mkdir(parents=True, exist_ok=True)
    # 0711: guests run as users of their own and reach their disks through here.
    layout.state.chmod(0o755)
    for name, mode, user in (
        ("run", 0o755, (0, 0)),
        ("log", 0o750, (0, owner[1])),
        ("control", 0o700, owner),
        ("objects", 0o700, owner),
        ("agent", 0o711, (0, 0)),
    ):
        folder = layout.state / name
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
        if os.geteuid() == 0 and (folder.stat().st_uid, folder.stat().st_gid) != user:
            # The user may have been made anew with another number.
            for path in (folder, *folder.rglob("*")):
                os.chown(path, *user, follow_symlinks=False)
