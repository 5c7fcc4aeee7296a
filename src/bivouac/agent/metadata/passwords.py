"""Passwords that guests tell their owners: encrypted by the guest with the owner's key, kept as they came."""

from pathlib import Path

import msgspec

MAX_BYTES = 1024
"""As much as the service's own field holds (four parts of 255 characters)."""


class GuestPasswords:
    """Server id -> what its guest posted. Set once, as the API promises; without a file they live in memory."""

    def __init__(self, file: Path | None):
        self._file = file
        self._told: dict[str, str] = {}
        if file is not None and file.exists():
            try:
                self._told = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
            except msgspec.DecodeError:
                file.replace(file.with_suffix(".damaged"))

    def get(self, server_id: str) -> str:
        return self._told.get(server_id, "")

    def tell(self, server_id: str, password: str) -> bool:
        """Keep a password; False if there is one already."""
        if self._told.get(server_id):
            return False
        self._told[server_id] = password
        self._save()
        return True

    def forget(self, server_id: str) -> None:
        """Clear a password, so that the guest may tell another. Nothing there is fine."""
        if self._told.pop(server_id, None) is not None:
            self._save()

    def keep_only(self, server_ids: set[str]) -> None:
        """Forget those of servers that are gone."""
        kept = {id: password for id, password in self._told.items() if id in server_ids}
        if kept != self._told:
            self._told = kept
            self._save()

    def _save(self) -> None:
        if self._file is not None:
            new = self._file.with_suffix(".new")
            new.touch(0o600)
            new.write_bytes(msgspec.json.encode(self._told))
            new.replace(self._file)
