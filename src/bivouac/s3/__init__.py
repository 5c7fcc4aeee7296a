"""The S3 front door onto the object store."""
