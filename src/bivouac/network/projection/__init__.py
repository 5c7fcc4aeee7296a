"""The projection of our rows onto OVN's northbound database: wanted minus have, in one transaction.

- `snapshot` reads all rows at one moment; `desired` (with `switches`, `routers`, `firewall`) says, as a pure function,
  which rows OVN should have; `difference` compares them with what OVN has, also pure; `loop` does it.
- Every row we write carries `external_ids:bivouac`, a key that is unique in its table. Rows without it are left alone.
- Whoever holds the database's lock writes; other control processes wait for it.
Source: ovn-nb(5), ovn-sb(5).
"""
