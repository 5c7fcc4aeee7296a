"""Who asks: the `Caller` that a credential proves, and the `Call` that every rule gets.

A `Caller` comes from Identity's token check; core knows only its shape.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from .clock import Clock
from .errors import Forbidden
from .ids import new_request_id
from .policy import Policy

REMEMBERED = 1_000
"""Callers whose verdicts on their own things are remembered."""


class AccessRule(Struct, frozen=True):
    """One permission of an application credential: `*` and `**` in `path` as in Keystone's access rules."""

    service: str
    method: str
    path: str


class Caller(Struct, frozen=True, kw_only=True):
    """A validated token or credential. Exactly one of project, domain and system is the scope, or none of them."""

    user_id: str
    user_name: str
    user_domain_id: str = "default"
    user_domain_name: str = "Default"
    project_id: str = ""
    project_name: str = ""
    project_domain_id: str = ""
    project_domain_name: str = ""
    domain_id: str = ""
    domain_name: str = ""
    system: bool = False
    roles: tuple[str, ...] = ()
    """Names of effective roles, implied ones included."""
    role_ids: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("password",)
    audit_ids: tuple[str, ...] = ()
    issued_at: float = 0.0
    expires_at: float = 0.0
    trust_id: str = ""
    trustor_id: str = ""
    trustee_id: str = ""
    application_credential_id: str = ""
    access_rules: tuple[AccessRule, ...] | None = None
    """None: not restricted. A tuple: only what one of the rules allows."""
    restricted: bool = False
    """A restricted application credential may not manage application credentials and trusts."""
    oauth_consumer_id: str = ""
    oauth_access_token_id: str = ""


class Call(Struct, kw_only=True):
    """One request as the rules see it. `version` is the negotiated microversion, (0, 0) where there is none."""

    caller: Caller
    policy: Policy
    request_id: str = ""
    global_request_id: str = ""
    now: float = 0.0
    version: tuple[int, int] = (0, 0)
    remote_address: str = ""
    plan: bool = False
    token: str = ""
    enforced: bool = False
    """A policy rule was held against a target (`enforce`) and let this call pass."""
    _credentials: dict[str, Any] | None = field(default=None)
    _verdicts: dict[str, bool] | None = field(default=None)

    @property
    def user_id(self) -> str:
        return self.caller.user_id

    @property
    def project_id(self) -> str:
        return self.caller.project_id

    @property
    def roles(self) -> tuple[str, ...]:
        return self.caller.roles

    @property
    def is_admin(self) -> bool:
        """The policy's `context_is_admin`: sees and touches all projects."""
        return self.allows("context_is_admin")

    @property
    def credentials(self) -> dict[str, Any]:
        """The caller as policy rules see it (oslo.policy's `creds`)."""
        if self._credentials is None:
            who = self.caller
            self._credentials = {
                "user_id": who.user_id,
                "user_domain_id": who.user_domain_id,
                "project_id": who.project_id or None,
                "tenant_id": who.project_id or None,
                "project_domain_id": who.project_domain_id or None,
                "domain_id": who.domain_id or None,
                "system_scope": "all" if who.system else None,
                "roles": who.roles,
                "trust_id": who.trust_id or None,
                "is_admin_project": True,
                "token.domain.id": who.domain_id or None,
                "token.project.domain.id": who.project_domain_id or None,
            }
        return self._credentials

    def own_target(self) -> dict[str, Any]:
        """The policy target of things that are the caller's own."""
        who = self.caller
        return {
            "project_id": who.project_id or None,
            "tenant_id": who.project_id or None,
            "user_id": who.user_id,
            "domain_id": who.domain_id or None,
        }

    def allows(self, rule: str, target: Mapping[str, Any] | None = None) -> bool:
        """Whether the policy lets this caller do `rule` to `target` (by default: to its own things)."""
        if target is not None:
            return self.policy.allows(rule, target, self.credentials)
        verdicts = self._verdicts
        if verdicts is None:
            verdicts = self._verdicts = self._remembered()
        verdict = verdicts.get(rule)
        if verdict is None:
            verdict = verdicts[rule] = self.policy.allows(rule, self.own_target(), self.credentials)
        return verdict

    def _remembered(self) -> dict[str, bool]:
        """Verdicts on what is their own, shared by all calls of callers that no rule can tell apart: `credentials` and
        `own_target` are made of nothing else."""
        who = self.caller
        alike = (
            who.user_id, who.user_domain_id, who.project_id, who.project_domain_id, who.domain_id, who.system,
            who.roles, who.trust_id,
        )  # fmt: skip
        all_verdicts = self.policy.own_verdicts
        verdicts = all_verdicts.get(alike)
        if verdicts is None:
            if len(all_verdicts) >= REMEMBERED:
                all_verdicts.clear()
            verdicts = all_verdicts[alike] = {}
        return verdicts

    def enforce(self, rule: str, target: Mapping[str, Any] | None = None) -> None:
        """Raise Forbidden, with the rule and what is missing, unless allowed."""
        if not self.allows(rule, target):
            raise Forbidden(
                self.policy.refusal(rule, self.own_target() if target is None else target, self.credentials)
            )
        self.enforced = True


def system_call(policy: Policy, clock: Clock, name: str = "bivouac") -> Call:
    """The call under which loops and first-time set-up run rules: an admin of the whole system."""
    caller = Caller(user_id=name, user_name=name, system=True, roles=("admin", "manager", "member", "reader"))
    return Call(caller=caller, policy=policy, request_id=new_request_id(), now=clock.now())
