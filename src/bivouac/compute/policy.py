"""Compute's policy rules, by Nova's names."""

from bivouac.core.policy import Rule

_P = "os_compute_api:"
ANYBODY, ADMIN = "@", "rule:context_is_admin"
READER, MEMBER = "rule:project_reader_or_admin", "rule:project_member_or_admin"
OWN_KEYS = "rule:context_is_admin or user_id:%(user_id)s"

_NAMES: dict[str, tuple[str, ...]] = {
    ANYBODY: (
        "flavors", "os-availability-zone:list", "extensions", "os-quota-sets:defaults", "images",
    ),
    OWN_KEYS: tuple(f"os-keypairs:{verb}" for verb in ("index", "show", "create", "delete")),
    READER: (
        "servers:index", "servers:detail", "servers:show", "ips:index", "ips:show", "os-flavor-extra-specs:index",
        "os-flavor-extra-specs:show", "server-metadata:index", "server-metadata:show", "os-server-tags:index",
        "os-server-tags:show", "os-server-groups:index", "os-server-groups:show", "os-instance-actions:list",
        "os-instance-actions:show", "os-attach-interfaces:list", "os-attach-interfaces:show", "limits",
        "os-quota-sets:show", "os-quota-sets:detail", "os-simple-tenant-usage:show", "os-security-groups:list",
        "os-server-password:show", "os-volumes-attachments:index", "os-volumes-attachments:show",
        "servers:show:host_status:unknown-only", "os-security-groups:get", "os-security-groups:show",
        "os-security-groups:rule:get", "os-networks:list", "os-networks:show", "os-tenant-networks:list",
        "os-tenant-networks:show", "os-floating-ips:list", "os-floating-ips:show", "os-floating-ip-pools",
    ),
    MEMBER: (
        "servers:create", "servers:create:attach_network", "servers:create:trusted_certs", "servers:update",
        "servers:delete", "servers:start", "servers:stop", "servers:reboot", "servers:rebuild",
        "servers:rebuild:trusted_certs", "servers:create_image", "servers:resize", "servers:confirm_resize",
        "servers:revert_resize", "servers:trigger_crash_dump", "os-pause-server:pause", "os-pause-server:unpause",
        "os-suspend-server:suspend", "os-suspend-server:resume", "os-lock-server:lock", "os-lock-server:unlock",
        "os-rescue", "os-unrescue", "os-shelve:shelve", "os-shelve:unshelve", "os-create-backup",
        "os-deferred-delete:force", "os-deferred-delete:restore", "os-admin-password", "os-console-output",
        "os-remote-consoles", "os-attach-interfaces:create", "os-attach-interfaces:delete",
        "os-security-groups:add", "os-security-groups:remove", "server-metadata:create", "server-metadata:update",
        "server-metadata:update_all", "server-metadata:delete", "os-server-tags:update", "os-server-tags:update_all",
        "os-server-tags:delete", "os-server-tags:delete_all", "os-server-groups:create", "os-server-groups:delete",
        "os-server-password:clear", "os-security-groups:create", "os-security-groups:update",
        "os-security-groups:delete", "os-security-groups:rule:create", "os-security-groups:rule:delete",
        "os-multinic:add", "os-multinic:remove", "os-floating-ips:create", "os-floating-ips:delete",
        "os-floating-ips:add", "os-floating-ips:remove",
    ),
    ADMIN: (
        "servers:index:get_all_tenants", "servers:detail:get_all_tenants", "servers:allow_all_filters",
        "servers:show:host_status", "servers:create:forced_host", "servers:create:zero_disk_flavor",
        "compute:servers:create:requested_destination", "os-extended-server-attributes", "os-flavor-manage:create",
        "os-flavor-manage:update", "os-flavor-manage:delete", "os-flavor-extra-specs:create",
        "os-flavor-extra-specs:update", "os-flavor-extra-specs:delete", "os-flavor-access",
        "os-flavor-access:add_tenant_access", "os-flavor-access:remove_tenant_access", "os-admin-actions:reset_state",
        "os-admin-actions:inject_network_info", "os-lock-server:unlock:unlock_override", "os-shelve:shelve_offload",
        "os-shelve:unshelve_to_host", "os-migrate-server:migrate", "os-migrate-server:migrate_live",
        "os-server-groups:index:all_projects", "os-instance-actions:events", "os-instance-actions:events:details",
        "os-quota-sets:update", "os-quota-sets:delete", "os-quota-class-sets:show", "os-quota-class-sets:update",
        "os-availability-zone:detail", "os-aggregates:index", "os-aggregates:show", "os-aggregates:create",
        "os-aggregates:update", "os-aggregates:delete", "os-aggregates:add_host", "os-aggregates:remove_host",
        "os-aggregates:set_metadata", "compute:aggregates:images", "os-hypervisors:list", "os-hypervisors:list-detail",
        "os-hypervisors:show", "os-hypervisors:statistics", "os-hypervisors:uptime", "os-hypervisors:search",
        "os-hypervisors:servers", "os-services:list", "os-services:update", "os-services:delete", "os-hosts:list",
        "os-hosts:show", "os-hosts:update", "os-hosts:reboot", "os-hosts:shutdown", "os-hosts:start",
        "os-simple-tenant-usage:list", "os-migrations:index", "os-server-diagnostics",
        "os-server-external-events:create", "os-console-auth-tokens", "os-instance-usage-audit-log:list",
        "os-instance-usage-audit-log:show", "servers:migrations:index", "servers:migrations:show",
        "limits:other_project", "os-agents:list",
    ),
}  # fmt: skip
POLICY: list[Rule] = [Rule(f"{_P}{name}", check) for check, names in _NAMES.items() for name in names]
