"""The rules of images: plain functions over a transaction, one file per resource."""
