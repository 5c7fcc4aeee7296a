"""Network: the Networking API v2.0 over rows, projected onto OVN.

- `records` are the rows, `service` the rules (one module a resource), `api` the routes, `views` and `listing` the
  wire's shapes and lists. Addresses are claimed in the transaction that needs them (`service.addresses`).
- `projection` is the one loop that makes OVN's northbound database say what the rows say, and that writes back
  which ports are up. It repairs either's loss; nobody else writes there.
- `for_compute` is what the compute service calls inside its own transactions.
"""
