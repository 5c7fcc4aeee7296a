"""The object store behind Swift and S3: one interface, and the embedded engine that implements it.

`interface` is all a front door needs, with `errors`. The engine's parts: `schema` and `rows` (the index),
`transaction` and `committer` (group
commit), `containers`, `objects`, `multipart` (the writing rules), `reading` and `listing`, `upload` and `disk`
(bodies), `auditor` (checks).
"""

from bivouac.objects.store.engine import EmbeddedStore
from bivouac.objects.store.interface import Store

__all__ = ["EmbeddedStore", "Store"]
