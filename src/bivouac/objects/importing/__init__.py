"""Bringing all objects of an S3 or Swift endpoint into this store, as often as one likes, without losing the place.

`connection` is HTTP to the source with pooled connections; `s3` and `swift` are what a `source` can be; `job` goes
through its buckets, a page at a time. After each page the job keeps its place at the container, durable as everything
in the store; every imported object remembers which state of the source it is. So a job that was killed goes on where
it was, and one that is run again copies only what has changed since.
"""

from bivouac.objects.importing.job import Job, run

__all__ = ["Job", "run"]
