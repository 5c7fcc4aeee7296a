"""Identity: who somebody is, what they may do where, and which services there are (Keystone's Identity API v3).

- `records` are the tables. A domain is a row of `projects` with `is_domain`, as in Keystone: its id is its own
  domain, and top-level projects have it for a parent. Role assignments of all kinds are one table.
- `service/` holds the rules, one file per resource: plain functions over a transaction.
- `tokens` packs and proves tokens: what a token says is in the token, nothing is stored when one is issued. Roles,
  names and whether its user, project and domain are enabled are read when it is used, so every change counts at once.
- `authenticate` is what every request of every service goes through: a cache of proven tokens. A rule that changes
  something a token depends on calls `revocation.forget`; its bell drops the entries before the writer is answered,
  and in other processes as fast as the database passes bells on.
- `vault` seals the credentials that users keep here.
- `login` proves passwords, tokens, application credentials, one-time passcodes and OAuth signatures.
- `api/` holds routes and wire shapes; `policy` the default rules, named as Keystone's.
"""
