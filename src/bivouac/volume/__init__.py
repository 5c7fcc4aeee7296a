"""Block Storage v3."""
