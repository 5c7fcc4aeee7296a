"""Rules of the network service, one module a resource: plain functions over a transaction, no HTTP.

Every rule that changes what hosts must do ends with `standard.changed`, which wakes the projection onto OVN.
"""
