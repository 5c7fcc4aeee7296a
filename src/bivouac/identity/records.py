"""Tables of Identity: projects and domains, users and groups, roles and assignments, tokens' keys and revocations."""

from typing import Any, ClassVar

from ..core.store import Row


class Project(Row, frozen=True, kw_only=True):
    """A project, or a domain (`is_domain`: then `domain_id` is None and so is `parent_id`)."""

    TABLE: ClassVar[str] = "projects"
    id: str
    name: str
    domain_id: str | None = None
    parent_id: str | None = None
    is_domain: bool = False
    enabled: bool = True
    description: str = ""
    tags: list[str] = []
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    tokens_not_before: float = 0.0
    """Tokens of this scope that were issued earlier are void: set when it is disabled."""


class User(Row, frozen=True, kw_only=True):
    """A user with the hash of the current password, if any."""

    TABLE: ClassVar[str] = "users"
    SECRET: ClassVar[frozenset[str]] = frozenset({"password_hash"})
    id: str
    name: str
    domain_id: str
    enabled: bool = True
    default_project_id: str | None = None
    description: str | None = None
    password_hash: str | None = None
    password_created_at: float | None = None
    password_expires_at: float | None = None
    password_set_by_user: bool = False
    """False until the user has set it: with `change_password_upon_first_use`, such a password only serves to change."""
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    created_at: float = 0.0
    last_active_at: float | None = None
    failed_attempts: int = 0
    failed_at: float | None = None
    tokens_not_before: float = 0.0
    """Tokens that were issued earlier are void: set when the password changes or the user is disabled."""


class OldPassword(Row, frozen=True, kw_only=True):
    """A password that was, for `unique_last_password_count`."""

    TABLE: ClassVar[str] = "old_passwords"
    SECRET: ClassVar[frozenset[str]] = frozenset({"password_hash"})
    id: str
    user_id: str
    password_hash: str
    created_at: float


class Group(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "groups_of_users"
    id: str
    name: str
    domain_id: str
    description: str = ""
    extra: dict[str, Any] = {}


class GroupMember(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "group_members"
    KEY: ClassVar[tuple[str, ...]] = ("group_id", "user_id")
    group_id: str
    user_id: str


class Role(Row, frozen=True, kw_only=True):
    """A role. One with a domain is only a name for the roles it implies: it never shows in a token."""

    TABLE: ClassVar[str] = "roles"
    id: str
    name: str
    domain_id: str | None = None
    description: str | None = None
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}


class ImpliedRole(Row, frozen=True, kw_only=True):
    """Who has the prior role has the implied one."""

    TABLE: ClassVar[str] = "implied_roles"
    KEY: ClassVar[tuple[str, ...]] = ("prior_role_id", "implied_role_id")
    prior_role_id: str
    implied_role_id: str


class RoleAssignment(Row, frozen=True, kw_only=True):
    """`actor_type` user or group; `target_type` project, domain or system (`target_id` is then `all`).

    An inherited assignment counts for the projects below its target, not for the target.
    """

    TABLE: ClassVar[str] = "role_assignments"
    KEY: ClassVar[tuple[str, ...]] = ("actor_type", "actor_id", "target_type", "target_id", "role_id", "inherited")
    actor_type: str
    actor_id: str
    target_type: str
    target_id: str
    role_id: str
    inherited: bool = False


class TokenKey(Row, frozen=True, kw_only=True):
    """A key that tokens are proven with. The newest signs; the one before still proves."""

    TABLE: ClassVar[str] = "token_keys"
    SECRET: ClassVar[frozenset[str]] = frozenset({"secret"})
    id: int
    secret: bytes
    created_at: float


class CredentialKey(Row, frozen=True, kw_only=True):
    """A key that credentials are sealed with, itself wrapped by the key of the state directory."""

    TABLE: ClassVar[str] = "credential_keys"
    SECRET: ClassVar[frozenset[str]] = frozenset({"wrapped"})
    id: int
    wrapped: bytes
    created_at: float


class RevocationEvent(Row, frozen=True, kw_only=True):
    """What became void when (Keystone's OS-REVOKE). With an `audit_id` it voids that one token."""

    TABLE: ClassVar[str] = "revocation_events"
    id: str
    issued_before: float
    revoked_at: float
    expires_at: float | None = None
    audit_id: str | None = None
    audit_chain_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    role_id: str | None = None
    trust_id: str | None = None
    consumer_id: str | None = None
    access_token_id: str | None = None


class ApplicationCredential(Row, frozen=True, kw_only=True):
    """A login of its own for a program, for one project and some of its owner's roles."""

    TABLE: ClassVar[str] = "application_credentials"
    SECRET: ClassVar[frozenset[str]] = frozenset({"secret_hash"})
    id: str
    name: str
    user_id: str
    project_id: str
    description: str | None = None
    secret_hash: str
    expires_at: float | None = None
    unrestricted: bool = False
    role_ids: list[str] = []
    access_rule_ids: list[str] | None = None


class AccessRuleRow(Row, frozen=True, kw_only=True):
    """A rule that a user made for application credentials; outlives them until deleted."""

    TABLE: ClassVar[str] = "access_rules"
    id: str
    user_id: str
    service: str
    method: str
    path: str


class Trust(Row, frozen=True, kw_only=True):
    """The trustor lets the trustee act with some roles on a project."""

    TABLE: ClassVar[str] = "trusts"
    id: str
    trustor_user_id: str
    trustee_user_id: str
    project_id: str | None = None
    impersonation: bool = False
    expires_at: float | None = None
    remaining_uses: int | None = None
    redelegated_trust_id: str | None = None
    redelegation_count: int = 0
    role_ids: list[str] = []
    extra: dict[str, Any] = {}
    created_at: float = 0.0


class Credential(Row, frozen=True, kw_only=True):
    """Any secret that a user keeps here: `ec2` (blob: access and secret), `totp` (blob: base32 seed), others."""

    TABLE: ClassVar[str] = "credentials"
    SECRET: ClassVar[frozenset[str]] = frozenset({"blob"})
    id: str
    user_id: str
    type: str
    blob: str
    """Sealed by the key `key_id` (see `vault`); as the user gave it when that is None."""
    key_id: int | None = None
    project_id: str | None = None
    trust_id: str | None = None
    application_credential_id: str | None = None
    access_token_id: str | None = None
    access: str | None = None
    """The access key of type `ec2`."""
    extra: dict[str, Any] = {}


class Consumer(Row, frozen=True, kw_only=True):
    """An OAuth 1.0a consumer."""

    TABLE: ClassVar[str] = "oauth_consumers"
    SECRET: ClassVar[frozenset[str]] = frozenset({"secret"})
    id: str
    secret: str
    description: str | None = None
    extra: dict[str, Any] = {}


class RequestToken(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "oauth_request_tokens"
    SECRET: ClassVar[frozenset[str]] = frozenset({"secret", "verifier"})
    id: str
    secret: str
    consumer_id: str
    requested_project_id: str
    expires_at: float
    verifier: str | None = None
    authorizing_user_id: str | None = None
    role_ids: list[str] = []


class AccessToken(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "oauth_access_tokens"
    SECRET: ClassVar[frozenset[str]] = frozenset({"secret"})
    id: str
    secret: str
    consumer_id: str
    authorizing_user_id: str
    project_id: str
    role_ids: list[str] = []
    expires_at: float | None = None


class Nonce(Row, frozen=True, kw_only=True):
    """What may be used once: OAuth nonces and one-time passcodes, until `expires_at`."""

    TABLE: ClassVar[str] = "nonces"
    LOGGED: ClassVar[bool] = False
    id: str
    expires_at: float
