"""Bivouac: an OpenStack-compatible cloud in one package, one database, one transaction per call."""

__version__ = "0.1.0"
