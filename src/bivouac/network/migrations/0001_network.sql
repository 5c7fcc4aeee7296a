-- Networks, addresses, routers and security groups as the API wants them, and what the projection saw of ports.
CREATE TABLE networks (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    admin_state_up INTEGER NOT NULL,
    shared INTEGER NOT NULL,
    external INTEGER NOT NULL,
    is_default INTEGER NOT NULL,
    mtu INTEGER NOT NULL,
    network_type TEXT NOT NULL,
    physical_network TEXT,
    segmentation_id INTEGER,
    port_security_enabled INTEGER NOT NULL,
    dns_domain TEXT NOT NULL,
    availability_zone_hints TEXT NOT NULL,
    tags TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX networks_by_project ON networks (project_id);
CREATE UNIQUE INDEX networks_by_segment ON networks (network_type, physical_network, segmentation_id)
    WHERE physical_network IS NOT NULL AND segmentation_id IS NOT NULL;
CREATE UNIQUE INDEX networks_flat ON networks (physical_network) WHERE network_type = 'flat';

CREATE TABLE subnetpools (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    ip_version INTEGER NOT NULL,
    prefixes TEXT NOT NULL,
    default_prefixlen INTEGER NOT NULL,
    min_prefixlen INTEGER NOT NULL,
    max_prefixlen INTEGER NOT NULL,
    default_quota BIGINT,
    shared INTEGER NOT NULL,
    is_default INTEGER NOT NULL,
    tags TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE subnets (
    id TEXT PRIMARY KEY,
    network_id TEXT NOT NULL REFERENCES networks (id),
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    ip_version INTEGER NOT NULL,
    cidr TEXT NOT NULL,
    gateway_ip TEXT,
    enable_dhcp INTEGER NOT NULL,
    ipv6_ra_mode TEXT,
    ipv6_address_mode TEXT,
    allocation_pools TEXT NOT NULL,
    dns_nameservers TEXT NOT NULL,
    host_routes TEXT NOT NULL,
    service_types TEXT NOT NULL,
    subnetpool_id TEXT REFERENCES subnetpools (id),
    tags TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX subnets_by_network ON subnets (network_id);
CREATE INDEX subnets_by_project ON subnets (project_id);

CREATE TABLE security_groups (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    stateful INTEGER NOT NULL,
    is_default INTEGER NOT NULL,
    tags TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX security_groups_by_project ON security_groups (project_id);
CREATE UNIQUE INDEX security_groups_default ON security_groups (project_id) WHERE is_default = 1;

CREATE TABLE security_group_rules (
    id TEXT PRIMARY KEY,
    security_group_id TEXT NOT NULL REFERENCES security_groups (id),
    project_id TEXT NOT NULL,
    description TEXT NOT NULL,
    direction TEXT NOT NULL,
    ethertype TEXT NOT NULL,
    protocol TEXT,
    port_range_min INTEGER,
    port_range_max INTEGER,
    remote_ip_prefix TEXT,
    remote_group_id TEXT REFERENCES security_groups (id),
    tags TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX security_group_rules_by_group ON security_group_rules (security_group_id);
CREATE INDEX security_group_rules_by_remote ON security_group_rules (remote_group_id);
CREATE INDEX security_group_rules_by_project ON security_group_rules (project_id);

CREATE TABLE ports (
    id TEXT PRIMARY KEY,
    network_id TEXT NOT NULL REFERENCES networks (id),
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    mac_address TEXT NOT NULL,
    admin_state_up INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    device_owner TEXT NOT NULL,
    port_security_enabled INTEGER NOT NULL,
    security_groups TEXT NOT NULL,
    allowed_address_pairs TEXT NOT NULL,
    extra_dhcp_opts TEXT NOT NULL,
    dns_name TEXT NOT NULL,
    binding_host TEXT NOT NULL,
    binding_vnic_type TEXT NOT NULL,
    binding_profile TEXT NOT NULL,
    up INTEGER NOT NULL,
    device_tag TEXT NOT NULL,
    made_by_compute INTEGER NOT NULL,
    attached_at DOUBLE PRECISION,
    tags TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);
CREATE UNIQUE INDEX ports_by_mac ON ports (network_id, mac_address);
CREATE INDEX ports_by_device ON ports (device_id);
CREATE INDEX ports_by_project ON ports (project_id);
CREATE INDEX ports_by_host ON ports (binding_host);

CREATE TABLE port_security_groups (
    port_id TEXT NOT NULL REFERENCES ports (id),
    security_group_id TEXT NOT NULL REFERENCES security_groups (id),
    PRIMARY KEY (port_id, security_group_id)
);
CREATE INDEX port_security_groups_by_group ON port_security_groups (security_group_id);

-- One row an address that is taken. `number` is the address as 32 hexadecimal digits, to sort and to find gaps.
CREATE TABLE addresses (
    subnet_id TEXT NOT NULL REFERENCES subnets (id),
    number TEXT NOT NULL,
    address TEXT NOT NULL,
    port_id TEXT NOT NULL REFERENCES ports (id),
    position INTEGER NOT NULL,
    PRIMARY KEY (subnet_id, number)
);
CREATE INDEX addresses_by_port ON addresses (port_id);

CREATE TABLE routers (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    admin_state_up INTEGER NOT NULL,
    gateway_network_id TEXT REFERENCES networks (id),
    gateway_port_id TEXT REFERENCES ports (id),
    enable_snat INTEGER NOT NULL,
    routes TEXT NOT NULL,
    availability_zone_hints TEXT NOT NULL,
    tags TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX routers_by_project ON routers (project_id);

CREATE TABLE floating_ips (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    description TEXT NOT NULL,
    floating_network_id TEXT NOT NULL REFERENCES networks (id),
    floating_ip_address TEXT NOT NULL,
    floating_port_id TEXT NOT NULL REFERENCES ports (id),
    port_id TEXT REFERENCES ports (id),
    fixed_ip_address TEXT,
    router_id TEXT REFERENCES routers (id),
    dns_name TEXT NOT NULL,
    dns_domain TEXT NOT NULL,
    tags TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX floating_ips_by_project ON floating_ips (project_id);
CREATE UNIQUE INDEX floating_ips_by_fixed ON floating_ips (port_id, fixed_ip_address, floating_network_id);

CREATE TABLE network_quotas (
    project_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    maximum BIGINT NOT NULL,
    PRIMARY KEY (project_id, resource)
);
