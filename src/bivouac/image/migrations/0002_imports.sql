-- Staged bytes with their digests; the image cache; what a signature was made with.
ALTER TABLE images DROP COLUMN staged;
ALTER TABLE images ADD COLUMN staged TEXT;

CREATE TABLE image_cache (
    image_id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    blob TEXT NOT NULL,
    size BIGINT NOT NULL,
    hits BIGINT NOT NULL,
    queued_at DOUBLE PRECISION NOT NULL,
    cached_at DOUBLE PRECISION,
    accessed_at DOUBLE PRECISION
);
