"""What the object store refuses, as exceptions. Front doors map each class to an answer of their dialect, in one
table.

They are facts about the store, never about HTTP: no status code appears here. Every class carries what a front door
needs to explain
the refusal (names, limits), because only the commit that refused knows it.
"""

from __future__ import annotations

from typing import Any


class StoreError(Exception):
    """Base of every refusal of the store. Nothing was changed."""


class NoSuchContainer(StoreError):
    """The container (bucket) does not exist, or was deleted while the call was under way."""


class NoSuchObject(StoreError):
    """No such object, or no such version. `marker` is the delete marker that hides the object, if there is one."""

    def __init__(self, name: str, marker: Any = None) -> None:
        super().__init__(name)
        self.name, self.marker = name, marker


class NoSuchUpload(StoreError):
    """The multipart upload was never begun, is finished or was aborted."""


class InvalidPart(StoreError):
    """A part named on completion is absent, has another ETag, is out of order, or is too small (see `reason`)."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"part {number}: {reason}")
        self.number, self.reason = number, reason


class ContainerExists(StoreError):
    """The global (bucket) name is taken. `account` is its owner: the same account means "already yours"."""

    def __init__(self, name: str, account: str) -> None:
        super().__init__(name)
        self.name, self.account = name, account


class ContainerNotEmpty(StoreError):
    """A container with objects, versions, delete markers (or, if asked, multipart uploads) cannot be deleted."""


class PreconditionFailed(StoreError):
    """A condition did not hold at commit time. `condition` names the one that failed, such as `if_match`."""

    def __init__(self, condition: str, current: Any = None) -> None:
        super().__init__(condition)
        self.condition, self.current = condition, current


class QuotaExceeded(StoreError):
    """The write would exceed a quota. `scope` is `container` or `account`, `unit` is `bytes` or `objects`."""

    def __init__(self, scope: str, unit: str, limit: int, used: int) -> None:
        super().__init__(f"{scope} quota of {limit} {unit} exceeded ({used} used)")
        self.scope, self.unit, self.limit, self.used = scope, unit, limit, used


class ObjectLocked(StoreError):
    """Retention or a legal hold forbids the change. `until` is the retention's end in seconds since the epoch, or
    None."""

    def __init__(self, name: str, until: int | None) -> None:
        super().__init__(name)
        self.name, self.until = name, until


class RangeInvalid(StoreError):
    """A copied range lies outside its source."""


class DataCorrupt(StoreError):
    """Bytes on the disk do not have the checksum they were stored with. Names the object's data, for the operator."""

    def __init__(self, data: str, name: str = "") -> None:
        super().__init__(f"{name or 'data'}: {data} does not match its checksum")
        self.data, self.name = data, name


class StoreFull(StoreError):
    """The file system under the store has no room (or no quota) left: nothing of the write was kept."""


class StoreFailed(StoreError):
    """The disk failed a sync: what reached it is unknown, so every further write is refused until the store is
    opened again."""
