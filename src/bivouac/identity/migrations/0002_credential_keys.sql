-- Credentials are kept sealed; a row without key_id is from before that and is sealed by the next upkeep.
CREATE TABLE credential_keys (
    id BIGINT PRIMARY KEY,
    wrapped BYTEA NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);
ALTER TABLE credentials ADD COLUMN key_id BIGINT REFERENCES credential_keys (id);
