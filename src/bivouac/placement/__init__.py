"""Placement: hosts, inventories and allocations."""
