-- Hosts, what is free on them, and who holds the rest.
CREATE TABLE hosts (
    id TEXT PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    service_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    facts TEXT NOT NULL,
    vcpus BIGINT NOT NULL,
    memory_mib BIGINT NOT NULL,
    disk_gib BIGINT NOT NULL,
    availability_zone TEXT NOT NULL,
    disabled BIGINT NOT NULL,
    disabled_reason TEXT NOT NULL,
    forced_down BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);
CREATE TABLE host_usage (
    host_id TEXT PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
    vcpus_free BIGINT NOT NULL,
    memory_free_mib BIGINT NOT NULL,
    disk_free_gib BIGINT NOT NULL,
    servers BIGINT NOT NULL
);
CREATE INDEX host_usage_by_memory ON host_usage (memory_free_mib);
CREATE TABLE host_heartbeats (
    host_id TEXT PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
    last_seen DOUBLE PRECISION NOT NULL,
    usage TEXT NOT NULL
);
CREATE TABLE allocations (
    consumer_id TEXT NOT NULL,
    host_id TEXT NOT NULL REFERENCES hosts (id),
    project_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    vcpus BIGINT NOT NULL,
    memory_mib BIGINT NOT NULL,
    disk_gib BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (consumer_id, host_id)
);
CREATE INDEX allocations_by_host ON allocations (host_id);
CREATE TABLE aggregates (
    id BIGINT PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    metadata TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION
);
CREATE TABLE aggregate_hosts (
    aggregate_id BIGINT NOT NULL REFERENCES aggregates (id),
    host TEXT NOT NULL,
    PRIMARY KEY (aggregate_id, host)
);
CREATE INDEX aggregate_hosts_by_host ON aggregate_hosts (host);
