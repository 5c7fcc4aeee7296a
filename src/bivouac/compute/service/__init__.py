"""Rules of compute: synchronous functions over a transaction, one file per resource."""
