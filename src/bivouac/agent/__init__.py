"""The loop of one host: wanted specs in, observed reports out. Never sees the database."""
