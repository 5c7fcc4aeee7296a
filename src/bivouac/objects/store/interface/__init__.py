"""The one narrow interface between front doors (Swift, S3) and an object store.

Words. An *account* owns containers and is named by its project id. A *container* is a bucket. An *object* is a name
in a container with one or more *versions*; the newest is current. A *delete marker* is a version without data that
hides the object. *Data* are immutable bytes that versions and parts point to with *extents*; copying an object copies
its extents. A *document* is a small text (JSON, usually) that a dialect keeps at a container or an object under a key
of its own: an ACL, a policy, a website configuration. The store never reads it.

Rules every implementation keeps:
- A write that has returned is durable. A write that raised a `StoreError` changed nothing.
- Conditions, quotas, locks and versioning are decided inside the commit, against what is current there.
- Who is asking is not the store's business: front doors authorise first.
- Reads see every write that returned before they began.
- Times are microseconds since the epoch, multiples of ten (Swift prints five decimals), and rise strictly with each
  write: a version's time is also its identity. `expires_at` and `retain_until` are whole seconds, as on the wire.

The embedded store is `bivouac.objects.store.engine.EmbeddedStore`. `Store` is a Protocol so that RADOS can stand
behind the same doors.

`records` has what a store holds, `calls` what is asked of it, `store` the operations.
"""

from bivouac.core.http1.message import Piece
from bivouac.objects.store.interface.calls import (
    Archive,
    CompleteMultipart,
    Conditions,
    CopySource,
    CreateMultipart,
    DeleteObject,
    Listing,
    PutObject,
    Staged,
    UpdateObject,
)
from bivouac.objects.store.interface.records import (
    Account,
    Container,
    ContainerEntry,
    Deleted,
    Extent,
    Kind,
    Lock,
    Media,
    Multipart,
    ObjectEntry,
    ObjectRecord,
    Page,
    Part,
    Stored,
    Usage,
    Versioning,
)
from bivouac.objects.store.interface.store import Store, Upload

__all__ = [
    "Account",
    "Archive",
    "CompleteMultipart",
    "Conditions",
    "Container",
    "ContainerEntry",
    "CopySource",
    "CreateMultipart",
    "DeleteObject",
    "Deleted",
    "Extent",
    "Kind",
    "Listing",
    "Lock",
    "Media",
    "Multipart",
    "ObjectEntry",
    "ObjectRecord",
    "Page",
    "Part",
    "Piece",
    "PutObject",
    "Staged",
    "Store",
    "Stored",
    "UpdateObject",
    "Upload",
    "Usage",
    "Versioning",
]
