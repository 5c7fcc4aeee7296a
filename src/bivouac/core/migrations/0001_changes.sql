-- What was written, by whom, in which request: audit, usage and watches are folds over it.
CREATE TABLE changes (
    sequence SERIAL_KEY,
    at DOUBLE PRECISION NOT NULL,
    request_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    resource_key TEXT NOT NULL,
    before TEXT,
    after TEXT
);
CREATE INDEX changes_by_resource ON changes (resource, resource_key, sequence);
CREATE INDEX changes_by_request ON changes (request_id);
