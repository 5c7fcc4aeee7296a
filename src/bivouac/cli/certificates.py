"""Certificates of a cloud that listens beyond loopback: made by `bivouac up`, renewed by the supervisor.

`python -m bivouac.cli.certificates STATE` is what the supervisor runs when the servers' certificate is due, so that it
need not hold the libraries for it all the time. The servers take the new file by themselves.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

from bivouac.core.settings import Settings, SettingsError, load

LOOK_AFTER_S = 55 * 86400.0
"""From this age on the certificate may be due (`core.certificates` says when exactly), and it is looked at."""
RETRY_S = 3600.0


def ensure(settings: Settings, owner: tuple[int, int]) -> None:
    """The authority and the servers' certificate, readable by control's user. Raises OSError and SettingsError."""
    from bivouac.core import certificates

    folder = settings.authority_path
    folder.mkdir(mode=0o755, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        # A second `up` at the same moment must not make a second authority.
        fcntl.flock(lock, fcntl.LOCK_EX)
        certificates.ensure_authority(folder, settings.address)
        certificates.ensure_server(folder, settings.certificate, settings.names, owner)
    finally:
        os.close(lock)


class Renewal:
    """When the servers' certificate is due."""

    def __init__(self, settings: Settings):
        self._certificate = settings.certificate
        self._tried = -RETRY_S
        self.command = (sys.executable, "-m", "bivouac.cli.certificates", settings.state)

    def due(self) -> bool:
        """Whether to run the command now; at most once an hour."""
        try:
            age_s = time.time() - self._certificate.stat().st_mtime
        except OSError:
            age_s = LOOK_AFTER_S
        if age_s < LOOK_AFTER_S or time.monotonic() - self._tried < RETRY_S:
            return False
        self._tried = time.monotonic()
        return True


def main() -> int:
    """Renew in the state directory that is named."""
    try:
        settings = load(sys.argv[1])
        status = settings.control_path.stat()
        ensure(settings, (status.st_uid, status.st_gid))
    except (OSError, SettingsError) as error:
        print(f"bivouac certificates: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
