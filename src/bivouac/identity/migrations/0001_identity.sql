-- Who: domains and projects, users, groups, roles, assignments.
CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    domain_id TEXT REFERENCES projects (id),
    parent_id TEXT REFERENCES projects (id),
    is_domain BIGINT NOT NULL,
    enabled BIGINT NOT NULL,
    description TEXT NOT NULL,
    tags TEXT NOT NULL,
    options TEXT NOT NULL,
    extra TEXT NOT NULL,
    tokens_not_before DOUBLE PRECISION NOT NULL
);
CREATE UNIQUE INDEX projects_by_name ON projects (domain_id, name) WHERE domain_id IS NOT NULL;
CREATE UNIQUE INDEX domains_by_name ON projects (name) WHERE domain_id IS NULL;
CREATE INDEX projects_by_parent ON projects (parent_id);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    domain_id TEXT NOT NULL REFERENCES projects (id),
    enabled BIGINT NOT NULL,
    default_project_id TEXT,
    description TEXT,
    password_hash TEXT,
    password_created_at DOUBLE PRECISION,
    password_expires_at DOUBLE PRECISION,
    password_set_by_user BIGINT NOT NULL,
    options TEXT NOT NULL,
    extra TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    last_active_at DOUBLE PRECISION,
    failed_attempts BIGINT NOT NULL,
    failed_at DOUBLE PRECISION,
    tokens_not_before DOUBLE PRECISION NOT NULL
);
CREATE UNIQUE INDEX users_by_name ON users (domain_id, name);
CREATE INDEX users_by_password_expiry ON users (password_expires_at) WHERE password_expires_at IS NOT NULL;

CREATE TABLE old_passwords (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    password_hash TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX old_passwords_by_user ON old_passwords (user_id, created_at);

CREATE TABLE groups_of_users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    domain_id TEXT NOT NULL REFERENCES projects (id),
    description TEXT NOT NULL,
    extra TEXT NOT NULL
);
CREATE UNIQUE INDEX groups_by_name ON groups_of_users (domain_id, name);

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES groups_of_users (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_by_user ON group_members (user_id);

CREATE TABLE roles (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    domain_id TEXT REFERENCES projects (id),
    description TEXT,
    options TEXT NOT NULL,
    extra TEXT NOT NULL
);
CREATE UNIQUE INDEX roles_by_name ON roles (name) WHERE domain_id IS NULL;
CREATE UNIQUE INDEX domain_roles_by_name ON roles (domain_id, name) WHERE domain_id IS NOT NULL;

CREATE TABLE implied_roles (
    prior_role_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    implied_role_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (prior_role_id, implied_role_id)
);

CREATE TABLE role_assignments (
    actor_type TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    target_type TEXT NOT NULL,
    target_id TEXT NOT NULL,
    role_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    inherited BIGINT NOT NULL,
    PRIMARY KEY (actor_type, actor_id, target_type, target_id, role_id, inherited)
);
CREATE INDEX role_assignments_by_target ON role_assignments (target_id, target_type);

-- Proof: keys of tokens, what was revoked, logins of programs, delegation.
CREATE TABLE token_keys (
    id BIGINT PRIMARY KEY,
    secret BYTEA NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE revocation_events (
    id TEXT PRIMARY KEY,
    issued_before DOUBLE PRECISION NOT NULL,
    revoked_at DOUBLE PRECISION NOT NULL,
    expires_at DOUBLE PRECISION,
    audit_id TEXT,
    audit_chain_id TEXT,
    user_id TEXT,
    project_id TEXT,
    domain_id TEXT,
    role_id TEXT,
    trust_id TEXT,
    consumer_id TEXT,
    access_token_id TEXT
);
CREATE INDEX revocation_events_by_audit ON revocation_events (audit_id) WHERE audit_id IS NOT NULL;
CREATE INDEX revocation_events_by_time ON revocation_events (revoked_at);

CREATE TABLE application_credentials (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    description TEXT,
    secret_hash TEXT NOT NULL,
    expires_at DOUBLE PRECISION,
    unrestricted BIGINT NOT NULL,
    role_ids TEXT NOT NULL,
    access_rule_ids TEXT
);
CREATE UNIQUE INDEX application_credentials_by_name ON application_credentials (user_id, name);
CREATE INDEX application_credentials_by_project ON application_credentials (project_id);

CREATE TABLE access_rules (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    service TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL
);
CREATE UNIQUE INDEX access_rules_by_content ON access_rules (user_id, service, method, path);

CREATE TABLE trusts (
    id TEXT PRIMARY KEY,
    trustor_user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    trustee_user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    impersonation BIGINT NOT NULL,
    expires_at DOUBLE PRECISION,
    remaining_uses BIGINT,
    redelegated_trust_id TEXT REFERENCES trusts (id) ON DELETE CASCADE,
    redelegation_count BIGINT NOT NULL,
    role_ids TEXT NOT NULL,
    extra TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX trusts_by_trustor ON trusts (trustor_user_id);
CREATE INDEX trusts_by_trustee ON trusts (trustee_user_id);
CREATE INDEX trusts_by_project ON trusts (project_id);

CREATE TABLE credentials (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    type TEXT NOT NULL,
    blob TEXT NOT NULL,
    project_id TEXT,
    trust_id TEXT,
    application_credential_id TEXT,
    access_token_id TEXT,
    access TEXT,
    extra TEXT NOT NULL
);
CREATE INDEX credentials_by_user ON credentials (user_id, type);
CREATE INDEX credentials_by_project ON credentials (project_id);
CREATE UNIQUE INDEX credentials_by_access ON credentials (access) WHERE access IS NOT NULL;

CREATE TABLE oauth_consumers (
    id TEXT PRIMARY KEY,
    secret TEXT NOT NULL,
    description TEXT,
    extra TEXT NOT NULL
);
CREATE TABLE oauth_request_tokens (
    id TEXT PRIMARY KEY,
    secret TEXT NOT NULL,
    consumer_id TEXT NOT NULL REFERENCES oauth_consumers (id) ON DELETE CASCADE,
    requested_project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    expires_at DOUBLE PRECISION NOT NULL,
    verifier TEXT,
    authorizing_user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    role_ids TEXT NOT NULL
);
CREATE TABLE oauth_access_tokens (
    id TEXT PRIMARY KEY,
    secret TEXT NOT NULL,
    consumer_id TEXT NOT NULL REFERENCES oauth_consumers (id) ON DELETE CASCADE,
    authorizing_user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    role_ids TEXT NOT NULL,
    expires_at DOUBLE PRECISION
);
CREATE TABLE nonces (
    id TEXT PRIMARY KEY,
    expires_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX nonces_by_expiry ON nonces (expires_at);

-- Where: the catalog. What: policies kept for others, limits, configuration of domains.
CREATE TABLE regions (
    id TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    parent_region_id TEXT REFERENCES regions (id),
    extra TEXT NOT NULL
);
CREATE TABLE services (
    id TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    description TEXT,
    extra TEXT NOT NULL
);
CREATE INDEX services_by_type ON services (type);
CREATE TABLE endpoints (
    id TEXT PRIMARY KEY,
    service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    interface TEXT NOT NULL,
    url TEXT NOT NULL,
    region_id TEXT REFERENCES regions (id),
    enabled BIGINT NOT NULL,
    extra TEXT NOT NULL
);
CREATE INDEX endpoints_by_service ON endpoints (service_id);
CREATE TABLE endpoint_groups (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    filters TEXT NOT NULL
);
CREATE TABLE project_endpoints (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    endpoint_id TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    PRIMARY KEY (project_id, endpoint_id)
);
CREATE TABLE project_endpoint_groups (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    endpoint_group_id TEXT NOT NULL REFERENCES endpoint_groups (id) ON DELETE CASCADE,
    PRIMARY KEY (project_id, endpoint_group_id)
);
CREATE TABLE policy_documents (
    id TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    blob TEXT NOT NULL,
    extra TEXT NOT NULL
);
CREATE TABLE policy_associations (
    id TEXT PRIMARY KEY,
    policy_id TEXT NOT NULL REFERENCES policy_documents (id) ON DELETE CASCADE,
    endpoint_id TEXT REFERENCES endpoints (id) ON DELETE CASCADE,
    service_id TEXT REFERENCES services (id) ON DELETE CASCADE,
    region_id TEXT REFERENCES regions (id) ON DELETE CASCADE
);
CREATE TABLE registered_limits (
    id TEXT PRIMARY KEY,
    service_id TEXT NOT NULL REFERENCES services (id),
    resource_name TEXT NOT NULL,
    default_limit BIGINT NOT NULL,
    region_id TEXT REFERENCES regions (id),
    description TEXT
);
CREATE UNIQUE INDEX registered_limits_by_resource
    ON registered_limits (service_id, resource_name, coalesce(region_id, ''));
CREATE TABLE limits (
    id TEXT PRIMARY KEY,
    registered_limit_id TEXT NOT NULL REFERENCES registered_limits (id),
    resource_limit BIGINT NOT NULL,
    project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    domain_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    description TEXT
);
CREATE UNIQUE INDEX limits_by_owner
    ON limits (registered_limit_id, coalesce(project_id, ''), coalesce(domain_id, ''));
CREATE TABLE domain_options (
    domain_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    section TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (domain_id, section, name)
);
