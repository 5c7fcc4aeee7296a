"""Rules of Identity, one file per resource: plain functions over a transaction, without HTTP."""
