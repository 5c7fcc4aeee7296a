"""What hosts have, what is taken of it, and which host gets the next server.

- `hosts` holds what each host is (from its agent's Hello) and what its operator says of it (disabled, forced down,
  aggregates); `host_heartbeats` when it was last heard, outside of `changes`.
- An `allocation` is what one consumer (a server) holds on one host. `host_usage` keeps what is free per host, written
  by the same transaction as the allocation, so that the best host is found by walking an index and not by summing;
  `service.drift` proves the two equal.
- Choosing is a query that walks the hosts with most free memory, and `scheduling.judge`, a pure function that says
  for one host why it does not fit. When none fits, every host is judged and the refusal says which lacked what.
"""
