"""The Swift v1 front door: OpenStack's object storage API on the store's interface.

A request goes through `door` (path, who, CORS, transaction id), then to the handlers of its level: `accounts`,
`containers`, `objects`.
What other implementations call middleware is here functions that the handlers call: `tempurl`, `formpost`,
`staticweb`, `bulk`, `large` (SLO and
DLO), `symlinks`, `versions`, `copying`. `limits` has what `/info` publishes and all checks use; `access` the ACLs;
`listings` the formats.
"""
