"""Metadata definitions: which properties there are, what they mean and for which resources (Glance's metadefs)."""
