"""Default rules of Identity: names and meaning as in Keystone with its secure defaults, and the domain manager of
SCS-0302.

- `admin` is the administrator of the whole cloud, on whatever scope; `reader` on the system sees everything.
- A `reader` with a domain scope sees what is in the domain; a `manager` there makes and changes projects, users and
  groups in it, and assigns the roles named by `domain_managed_target_role`.
- Everybody sees and manages what is their own.

Targets are flat: `target.user.domain_id` and so on. What a target lacks is absent, so that it matches nobody; only
`target.role.domain_id` is None for a role of no domain. Source: keystone's policy reference; SCS-0302.
"""

from ..core.policy import Rule

SYSTEM_READER = "(role:reader and system_scope:all)"
ADMIN = "rule:admin_required"
ADMIN_OR_READER = f"{ADMIN} or {SYSTEM_READER}"
OWNER = "user_id:%(user_id)s"
ANYBODY = "@"


def _in_domain(role: str, *targets: str) -> str:
    """The role with a domain scope, and all these things in that domain."""
    return " and ".join([f"role:{role}", *(f"domain_id:%(target.{one})s" for one in targets)])


_PAIRS = (
    ("user.domain_id", "project.domain_id"),
    ("user.domain_id", "domain.id"),
    ("group.domain_id", "project.domain_id"),
    ("group.domain_id", "domain.id"),
)
_ROLE_FITS = "(domain_id:%(target.role.domain_id)s or None:%(target.role.domain_id)s)"


def _grant(role: str) -> str:
    """The role with a scope on the domain that both the actor and the target of an assignment are in."""
    return "(" + " or ".join(f"({_in_domain(role, *pair)})" for pair in _PAIRS) + ")"


_CHANGE_GRANT = (
    f"{ADMIN} or ({_grant('admin')} and {_ROLE_FITS}) or ({_grant('manager')} and rule:domain_managed_target_role)"
)
_DOMAIN_PROJECT = f"{ADMIN} or ({_in_domain('manager', 'project.domain_id')})"
_SEE_PROJECT = f"{ADMIN_OR_READER} or ({_in_domain('reader', 'project.domain_id')}) or project_id:%(target.project.id)s"
_DOMAIN_GROUP = f"{ADMIN} or ({_in_domain('manager', 'group.domain_id')})"
_SEE_GROUP = f"{ADMIN_OR_READER} or ({_in_domain('reader', 'group.domain_id')})"
_DOMAIN_USER = f"{ADMIN} or ({_in_domain('manager', 'user.domain_id')})"
_MEMBERSHIP = f"{ADMIN} or ({_in_domain('manager', 'group.domain_id', 'user.domain_id')})"
_CREDENTIAL_OWNER = "user_id:%(target.credential.user_id)s"
_TRUST_PARTY = "user_id:%(target.trust.trustor_user_id)s or user_id:%(target.trust.trustee_user_id)s"
_LIST_IN_DOMAIN = f"{ADMIN_OR_READER} or (role:reader and domain_id:%(target.domain_id)s)"

_BASE = (
    Rule("service_role", "role:service", "A service of the cloud."),
    Rule("service_or_admin", "rule:admin_required or rule:service_role"),
    Rule("identity_owner", OWNER, "Somebody whose own thing it is."),
    Rule("admin_or_identity_owner", f"{ADMIN} or {OWNER}"),
    Rule(
        "domain_managed_target_role",
        "'manager':%(target.role.name)s or 'member':%(target.role.name)s or 'reader':%(target.role.name)s",
        "The roles that a domain's manager may assign and revoke (SCS-0302).",
    ),
)

_TABLE: dict[str, tuple[str, ...]] = {
    ANYBODY: (
        "get_auth_catalog", "get_auth_projects", "get_auth_domains", "get_auth_system", "list_projects_for_user",
        "list_domains_for_user", "get_region", "list_regions", "get_registered_limit", "list_registered_limits",
        "list_limits", "get_limit_model", "get_security_compliance_domain_config", "explain_policy",
    ),
    ADMIN: (
        "create_domain", "update_domain", "delete_domain",
        "create_domain_config", "update_domain_config", "delete_domain_config",
        "create_role", "update_role", "delete_role", "create_domain_role", "update_domain_role", "delete_domain_role",
        "create_implied_role", "delete_implied_role",
        "create_system_grant_for_user", "revoke_system_grant_for_user",
        "create_system_grant_for_group", "revoke_system_grant_for_group",
        "create_region", "update_region", "delete_region", "create_service", "update_service", "delete_service",
        "create_endpoint", "update_endpoint", "delete_endpoint",
        "create_endpoint_group", "update_endpoint_group", "delete_endpoint_group",
        "add_endpoint_group_to_project", "remove_endpoint_group_from_project",
        "add_endpoint_to_project", "remove_endpoint_from_project",
        "create_policy", "update_policy", "delete_policy",
        "create_policy_association_for_endpoint", "delete_policy_association_for_endpoint",
        "create_policy_association_for_service", "delete_policy_association_for_service",
        "create_policy_association_for_region_and_service", "delete_policy_association_for_region_and_service",
        "create_registered_limits", "update_registered_limit", "delete_registered_limit",
        "create_limits", "update_limit", "delete_limit",
        "create_consumer", "update_consumer", "delete_consumer", "authorize_request_token",
        "explain_policy_for_others",
    ),
    ADMIN_OR_READER: (
        "get_domain_config", "get_domain_config_default",
        "get_domain_role", "list_domain_roles", "get_implied_role", "check_implied_role", "list_implied_roles",
        "list_role_inference_rules",
        "list_system_grants_for_user", "check_system_grant_for_user",
        "list_system_grants_for_group", "check_system_grant_for_group",
        "get_service", "list_services", "get_endpoint", "list_endpoints",
        "get_endpoint_group", "list_endpoint_groups", "list_projects_associated_with_endpoint_group",
        "list_endpoints_associated_with_endpoint_group", "get_endpoint_group_in_project",
        "list_endpoint_groups_for_project", "list_projects_for_endpoint", "check_endpoint_in_project",
        "list_endpoints_for_project", "get_policy", "list_policies",
        "check_policy_association_for_endpoint", "check_policy_association_for_service",
        "check_policy_association_for_region_and_service", "get_policy_for_endpoint", "list_endpoints_for_policy",
        "get_consumer", "list_consumers", "list_trusts",
    ),
    "rule:service_or_admin": ("list_revoke_events", "ec2tokens_validate", "s3tokens_validate", "revocation_list"),
    f"{ADMIN_OR_READER} or user_id:%(target.token.user_id)s": ("check_token",),
    f"{ADMIN_OR_READER} or rule:service_role or user_id:%(target.token.user_id)s": ("validate_token",),
    f"{ADMIN} or user_id:%(target.token.user_id)s": ("revoke_token",),
    f"{ADMIN_OR_READER} or domain_id:%(target.domain.id)s or project_domain_id:%(target.domain.id)s": ("get_domain",),
    f"{ADMIN_OR_READER} or (role:reader and domain_id:%(target.domain.id)s)": ("list_domains",),
    _SEE_PROJECT: ("get_project", "list_project_tags", "get_project_tag"),
    _DOMAIN_PROJECT: (
        "create_project", "update_project", "delete_project", "update_project_tags", "create_project_tag",
        "delete_project_tags", "delete_project_tag",
    ),
    _LIST_IN_DOMAIN: ("list_projects", "list_users", "list_role_assignments", "list_role_assignments_for_tree"),
    f"{ADMIN_OR_READER} or ({_in_domain('reader', 'user.domain_id')}) or user_id:%(target.user.id)s": (
        "get_user", "list_user_projects", "list_groups_for_user",
    ),
    _DOMAIN_USER: ("create_user", "update_user", "delete_user"),
    _SEE_GROUP: ("get_group", "list_groups", "list_users_in_group"),
    _DOMAIN_GROUP: ("create_group", "update_group", "delete_group"),
    _MEMBERSHIP: ("add_user_to_group", "remove_user_from_group"),
    f"{ADMIN_OR_READER} or ({_in_domain('reader', 'group.domain_id', 'user.domain_id')})": ("check_user_in_group",),
    f"{ADMIN_OR_READER} or (role:manager and rule:domain_managed_target_role)": ("get_role",),
    f"{ADMIN_OR_READER} or (role:manager and not domain_id:None)": ("list_roles",),
    f"{ADMIN_OR_READER} or ({_grant('reader')} and {_ROLE_FITS})": ("check_grant",),
    f"{ADMIN_OR_READER} or {_grant('reader')}": ("list_grants",),
    _CHANGE_GRANT: ("create_grant", "revoke_grant"),
    f"{ADMIN_OR_READER} or user_id:%(target.user.id)s": ("get_access_rule", "list_access_rules"),
    f"{ADMIN} or user_id:%(target.user.id)s": ("delete_access_rule",),
    f"{ADMIN_OR_READER} or {OWNER}": (
        "get_application_credential", "list_application_credentials", "ec2_list_credentials",
    ),
    OWNER: ("create_application_credential",),
    f"{ADMIN} or {OWNER}": (
        "delete_application_credential", "get_access_token", "get_access_token_role", "list_access_tokens",
        "list_access_token_roles", "delete_access_token",
    ),
    f"{ADMIN_OR_READER} or {_CREDENTIAL_OWNER}": ("get_credential", "list_credentials", "ec2_get_credential"),
    f"{ADMIN} or {_CREDENTIAL_OWNER}": ("create_credential", "update_credential", "delete_credential"),
    f"{ADMIN} or (role:member and {_CREDENTIAL_OWNER})": ("ec2_create_credential", "ec2_delete_credential"),
    "user_id:%(target.trust.trustor_user_id)s": ("create_trust",),
    f"{ADMIN_OR_READER} or user_id:%(target.trust.trustor_user_id)s": ("list_trusts_for_trustor",),
    f"{ADMIN_OR_READER} or user_id:%(target.trust.trustee_user_id)s": ("list_trusts_for_trustee",),
    f"{ADMIN_OR_READER} or {_TRUST_PARTY}": ("get_trust", "list_roles_for_trust", "get_role_for_trust"),
    f"{ADMIN} or user_id:%(target.trust.trustor_user_id)s": ("delete_trust",),
    f"{ADMIN_OR_READER} or domain_id:%(target.limit.domain.id)s or domain_id:%(target.limit.project.domain_id)s or "
    "project_id:%(target.limit.project_id)s": ("get_limit",),
}  # fmt: skip

POLICY: tuple[Rule, ...] = _BASE + tuple(
    Rule(f"identity:{name}", check) for check, names in _TABLE.items() for name in names
)
