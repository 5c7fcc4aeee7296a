"""The operations: one file per resource. `TABLE` says which method and which query parameter calls which of them.

Source: Amazon S3 API Reference, "Actions".
"""

from bivouac.s3.operations.table import TABLE, Operation, find

__all__ = ["TABLE", "Operation", "find"]
