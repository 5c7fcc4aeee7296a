-- Flavors, key pairs, servers and what is done to them.
CREATE TABLE flavors (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    memory_mib BIGINT NOT NULL,
    vcpus BIGINT NOT NULL,
    root_gib BIGINT NOT NULL,
    ephemeral_gib BIGINT NOT NULL,
    swap_mib BIGINT NOT NULL,
    rxtx_factor DOUBLE PRECISION NOT NULL,
    is_public BIGINT NOT NULL,
    disabled BIGINT NOT NULL,
    description TEXT,
    extra_specs TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);
CREATE TABLE flavor_access (
    flavor_id TEXT NOT NULL REFERENCES flavors (id) ON DELETE CASCADE,
    project_id TEXT NOT NULL,
    PRIMARY KEY (flavor_id, project_id)
);
CREATE INDEX flavor_access_by_project ON flavor_access (project_id);
CREATE TABLE keypairs (
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    number BIGINT NOT NULL,
    type TEXT NOT NULL,
    public_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (user_id, name)
);
CREATE TABLE servers (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    hostname TEXT NOT NULL,
    description TEXT,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL,
    launched_at DOUBLE PRECISION,
    terminated_at DOUBLE PRECISION,
    deleted_at DOUBLE PRECISION,
    reservation_id TEXT NOT NULL,
    launch_index BIGINT NOT NULL,
    flavor TEXT NOT NULL,
    flavor_id TEXT NOT NULL,
    vcpus BIGINT NOT NULL,
    memory_mib BIGINT NOT NULL,
    image_id TEXT NOT NULL,
    image_properties TEXT NOT NULL,
    boot TEXT NOT NULL,
    key_name TEXT,
    key_data TEXT NOT NULL,
    key_type TEXT NOT NULL,
    metadata TEXT NOT NULL,
    tags TEXT NOT NULL,
    user_data TEXT,
    files TEXT NOT NULL,
    config_drive BIGINT NOT NULL,
    config_drive_wish TEXT NOT NULL,
    admin_password TEXT NOT NULL,
    access_ipv4 TEXT NOT NULL,
    access_ipv6 TEXT NOT NULL,
    disk_config TEXT NOT NULL,
    locked_by TEXT NOT NULL,
    locked_reason TEXT,
    pinned_zone TEXT,
    availability_zone TEXT NOT NULL,
    group_id TEXT,
    scheduler_hints TEXT NOT NULL,
    disks TEXT NOT NULL,
    root_device_name TEXT NOT NULL,
    root_tag TEXT NOT NULL,
    certificates TEXT NOT NULL,
    generation BIGINT NOT NULL,
    task TEXT NOT NULL,
    action_id TEXT NOT NULL,
    power_wanted TEXT NOT NULL,
    deadline DOUBLE PRECISION,
    old_flavor TEXT,
    rescue_image_id TEXT NOT NULL,
    shelved_image_id TEXT NOT NULL,
    host TEXT NOT NULL,
    phase TEXT NOT NULL,
    observed_generation BIGINT NOT NULL,
    power_observed TEXT NOT NULL,
    fault TEXT
);
CREATE INDEX servers_by_project ON servers (project_id, created_at, id);
CREATE INDEX servers_for_quota ON servers (project_id, user_id, vcpus, memory_mib) WHERE deleted_at IS NULL;
CREATE INDEX servers_by_age ON servers (created_at, id);
CREATE INDEX servers_by_host ON servers (host) WHERE deleted_at IS NULL;
CREATE INDEX servers_by_group ON servers (group_id) WHERE deleted_at IS NULL;
CREATE INDEX servers_behind ON servers (deadline) WHERE deleted_at IS NULL AND observed_generation < generation;
CREATE INDEX servers_deleted ON servers (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE TABLE server_actions (
    server_id TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,
    task TEXT NOT NULL,
    user_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    start_time DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL,
    finish_time DOUBLE PRECISION,
    state TEXT NOT NULL,
    message TEXT NOT NULL,
    host TEXT NOT NULL,
    arguments TEXT NOT NULL,
    generation BIGINT NOT NULL,
    PRIMARY KEY (server_id, request_id)
);
CREATE INDEX server_actions_by_time ON server_actions (server_id, start_time);
CREATE INDEX server_actions_pending ON server_actions (server_id) WHERE state = 'pending';
CREATE TABLE server_groups (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    project_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    policy TEXT NOT NULL,
    rules TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX server_groups_by_project ON server_groups (project_id, created_at);
CREATE TABLE compute_quotas (
    owner TEXT NOT NULL,
    resource TEXT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (owner, resource)
);
CREATE TABLE migrations (
    id BIGINT PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    server_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    source_host TEXT NOT NULL,
    destination_host TEXT NOT NULL,
    old_flavor_id TEXT NOT NULL,
    new_flavor_id TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX migrations_by_server ON migrations (server_id);
CREATE TABLE console_sessions (
    token_hash TEXT PRIMARY KEY,
    server_id TEXT NOT NULL,
    host TEXT NOT NULL,
    kind TEXT NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL
);
