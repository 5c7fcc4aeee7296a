"""Servers: the Compute API, and the loops that make hosts run what the API was asked for.

The API writes what is wanted of a server (power, spec, one task at a time) with a `generation` that only grows. The
host's agent is told (`specs`), and answers with reports that carry the generation it has reached; only `reports`
writes what is (phase, observed power, fault, `observed_generation`). Every status on the wire is derived from the two
in `states`. A task past its deadline ends in a fault (`loops`).

- `api/`: routes and wire shapes, one file per resource.
- `service/`: rules, one file per resource.
- `hosts`, `agent_api`: control's side of the link to the agents. `consoles`: the proxy to a guest's screen.
"""
