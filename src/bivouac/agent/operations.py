"""Which one-shot actions were executed: remembered on disk, so that none runs twice because of a restart.

An action is recorded when it has ended. One that was cut off in the middle is executed again, for somebody asked for it
and was promised it; every kind can bear that.
"""

import os
from pathlib import Path

import msgspec

from bivouac.core.crash import side_effect
from bivouac.hostspec.server import OperationReport, ServerSpec

_decode = msgspec.json.Decoder(dict[str, dict[str, OperationReport]]).decode


class Operations:
    """Ended operations by server. Without a file (fleets) they live in memory."""

    def __init__(self, file: Path | None):
        self._file = file
        self._ended: dict[str, dict[str, OperationReport]] = {}
        if file is not None and file.exists():
            try:
                self._ended = _decode(file.read_bytes())
            except msgspec.DecodeError:
                file.replace(file.with_suffix(".damaged"))

    def ended(self, server_id: str) -> dict[str, OperationReport]:
        """By operation id."""
        return self._ended.get(server_id, {})

    def record(self, server_id: str, report: OperationReport) -> None:
        """Remember how an operation ended."""
        side_effect("record operation")
        self._ended.setdefault(server_id, {})[report.id] = report
        self._save()

    def forget(self, server_id: str, spec: ServerSpec | None) -> None:
        """Drop what control no longer lists: it knows."""
        ended = self._ended.get(server_id)
        if not ended:
            return
        listed = {operation.id for operation in spec.operations} if spec else set()
        kept = {id: report for id, report in ended.items() if id in listed}
        if kept != ended:
            side_effect("forget operations")
            if kept:
                self._ended[server_id] = kept
            else:
                del self._ended[server_id]
            self._save()

    def _save(self) -> None:
        if self._file is None:
            return
        new = self._file.with_suffix(".new")
        with new.open("wb") as file:
            file.write(msgspec.json.encode(self._ended))
            file.flush()
            os.fdatasync(file.fileno())
        new.replace(self._file)
