"""Compute v2.1: flavors, key pairs, servers."""
