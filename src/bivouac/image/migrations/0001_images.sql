-- Images. properties, tags, locations and stores are JSON; image_labels repeats properties and tags for filters.
CREATE TABLE images (
    id TEXT PRIMARY KEY,
    name TEXT,
    owner TEXT,
    status TEXT NOT NULL,
    visibility TEXT NOT NULL,
    container_format TEXT,
    disk_format TEXT,
    min_disk BIGINT NOT NULL,
    min_ram BIGINT NOT NULL,
    protected BIGINT NOT NULL,
    os_hidden BIGINT NOT NULL,
    size BIGINT,
    virtual_size BIGINT,
    checksum TEXT,
    os_hash_algo TEXT,
    os_hash_value TEXT,
    properties TEXT NOT NULL,
    tags TEXT NOT NULL,
    locations TEXT NOT NULL,
    stores TEXT NOT NULL,
    staged TEXT NOT NULL,
    boot TEXT,
    unusable TEXT NOT NULL,
    importing_to_stores TEXT,
    failed_import TEXT,
    transfer TEXT NOT NULL,
    transfer_until DOUBLE PRECISION,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);

CREATE INDEX images_owner ON images (owner, created_at, id);
CREATE INDEX images_visibility ON images (visibility, created_at, id);
CREATE INDEX images_created_at ON images (created_at, id);
CREATE INDEX images_transfer ON images (transfer_until) WHERE transfer_until IS NOT NULL;

CREATE TABLE image_labels (
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (image_id, kind, name)
);

CREATE INDEX image_labels_name ON image_labels (kind, name);

CREATE TABLE image_members (
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    member_id TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (image_id, member_id)
);

CREATE INDEX image_members_member ON image_members (member_id, status);

-- Blobs that nobody needs any more: the loop removes the file, then the row.
CREATE TABLE image_garbage (
    store TEXT NOT NULL,
    blob TEXT NOT NULL,
    added_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (store, blob)
);

CREATE TABLE image_tasks (
    id TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    owner TEXT NOT NULL,
    image_id TEXT,
    user_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    input TEXT NOT NULL,
    result TEXT,
    message TEXT NOT NULL,
    expires_at DOUBLE PRECISION,
    deadline DOUBLE PRECISION NOT NULL,
    lease_until DOUBLE PRECISION,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);

CREATE INDEX image_tasks_image ON image_tasks (image_id);
CREATE INDEX image_tasks_owner ON image_tasks (owner, created_at, id);
CREATE INDEX image_tasks_open ON image_tasks (deadline) WHERE status IN ('pending', 'processing');
