"""TLS as the processes use it: contexts from the files that `core.certificates` made, and their renewal in use."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from .errors import Error

log = logging.getLogger(__name__)
LOOK_S = 15.0
"""How often a server looks whether its certificate was renewed."""


class NoCertificate(Error):
    """A certificate cannot be used; the message says which and why."""


class ServerTls:
    """The context of a server's listeners. With `clients`, only who shows a certificate of that authority gets in."""

    def __init__(self, pem: Path, clients: Path | None = None):
        """Raises NoCertificate."""
        self._pem = pem
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self._changed = pem.stat().st_mtime_ns
            self.context.load_cert_chain(pem)
            if clients is not None:
                self.context.verify_mode = ssl.CERT_REQUIRED
                self.context.load_verify_locations(clients)
        except (OSError, ssl.SSLError) as error:
            raise NoCertificate(f"The certificate {pem} cannot be used: {error}. `bivouac up` makes it.") from error

    def refresh(self) -> bool:
        """Take a renewed certificate for connections from now on; whether there was one."""
        try:
            changed = self._pem.stat().st_mtime_ns
            if changed == self._changed:
                return False
            self.context.load_cert_chain(self._pem)
        except (OSError, ssl.SSLError):
            log.exception("the renewed certificate cannot be used; the old one is kept", extra={"file": str(self._pem)})
            return False
        self._changed = changed
        log.info("took the renewed certificate", extra={"file": str(self._pem)})
        return True

    async def keep_fresh(self) -> None:
        """Look for a renewed certificate for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.refresh()


def client_context(authority: Path | str, own: Path | str | None = None) -> ssl.SSLContext:
    """For a client that trusts just this authority, and shows its own certificate. Raises NoCertificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(authority)
        if own is not None:
            context.load_cert_chain(own)
    except (OSError, ssl.SSLError) as error:
        raise NoCertificate(f"The certificates {authority} and {own} cannot be used: {error}") from error
    return context


def common_name(certificate: dict | None) -> str:
    """The name in a certificate as `ssl` shows it after a handshake; empty without one."""
    for part in (certificate or {}).get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return value
    return ""
