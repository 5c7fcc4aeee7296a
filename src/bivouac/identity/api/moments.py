"""Moments on the wire, in the two forms Keystone uses."""

from ...core.clock import iso_micro


def moment_text(moment: float | None, suffix: str = "") -> str | None:
    """`2026-01-31T12:00:00.000000`: application credentials and passwords without a zone, all else with Z."""
    return iso_micro(moment, suffix)
