"""Logging in: proves what an authentication request presents and issues the token.

Every method is asked, all must name the same user, and an answer never tells which part was wrong. Users with
multi-factor rules who have shown only a part of what a rule asks get a receipt for it instead of a token.
"""

from typing import Any

import msgspec
from msgspec import Struct

from ..core.clock import Clock
from ..core.errors import BadRequest, Forbidden, NotFound, Unauthorized
from ..core.settings import Security
from ..core.store import Store
from . import one_time
from .authenticate import TOKEN, Authenticator
from .oauth_signature import SignedRequest
from .passwords import Verifier
from .records import User
from .service import login_facts, oauth1
from .service.login_facts import UserName
from .service.scope import ScopeRequest, unauthorized
from .service.token_issue import Verified, issue, issue_again, needs_write
from .service.validity import MICROSECONDS, Proven
from .tokens import RECEIPT, InvalidToken, Token, new_audit_id
from .vault import Vault

RECEIPT_LIFETIME_S = 300
LOGIN, USER = "login", "user"
"""Kinds in the memory."""
METHODS = ("password", "token", "application_credential", "totp", "oauth1")


class PasswordMethod(Struct):
    user: UserName


class TokenMethod(Struct):
    id: str


class ApplicationCredentialMethod(Struct):
    secret: str
    id: str | None = None
    name: str | None = None
    user: UserName | None = None


class IdentityRequest(Struct):
    """The `identity` of an authentication request."""

    methods: list[str]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None
    totp: PasswordMethod | None = None
    application_credential: ApplicationCredentialMethod | None = None
    oauth1: dict[str, Any] | None = None


class AuthRequest(Struct):
    """The body of POST /v3/auth/tokens."""

    identity: IdentityRequest
    scope: ScopeRequest | str | None = None


class Partial(Exception):
    """The methods shown so far satisfy no multi-factor rule: the receipt for them and what the rules ask."""

    def __init__(self, text: str, receipt: Token, user: User, rules: list[list[str]]):
        super().__init__("more authentication methods are needed")
        self.text = text
        self.receipt = receipt
        self.user = user
        self.rules = rules


class Login:
    """Logs users in, for one process."""

    def __init__(self, store: Store, clock: Clock, authenticator: Authenticator, security: Security, vault: Vault):
        self._store = store
        self._clock = clock
        self._authenticator = authenticator
        self._security = security
        self._vault = vault
        self._passwords = Verifier()

    async def issue(
        self, request: AuthRequest, receipt: str = "", signed: SignedRequest | None = None
    ) -> tuple[str, Proven]:
        """(token, what it proves). Raises Unauthorized, Forbidden, BadRequest, NotFound, Partial.

        `signed` is the HTTP request itself, for method `oauth1`.
        """
        scope = request.scope
        if isinstance(scope, str):
            if scope != "unscoped":
                raise BadRequest("The scope must be an object, or the word unscoped.")
            scope = ScopeRequest(unscoped={})
        verified = await self._verify(request.identity, signed)
        verified = await self._hold_rules(verified, receipt)
        return await self.issue_for(verified, scope)

    async def issue_for(self, verified: Verified, scope: ScopeRequest | None) -> tuple[str, Proven]:
        """A token for what is verified already."""
        now, memory, lifetime_s = self._clock.now(), self._authenticator.memory, self._security.token_lifetime_s
        generation = memory.generation
        if needs_write(scope):
            proven = await self._store.write(issue, verified, scope, now, lifetime_s)
        elif verified.parent or verified.application_credential_id or verified.access_token_id:
            proven = await self._store.read(issue, verified, scope, now, lifetime_s)
        else:
            key = (LOGIN, msgspec.json.encode((verified.user_id, scope)).decode())
            earlier = await memory.read(key, float("inf"), issue, verified, scope, now, lifetime_s)
            proven = issue_again(earlier, verified, now, lifetime_s)
        text = self._authenticator.keys.issue(proven.token)
        memory.keep((TOKEN, text), proven, proven.token.expires_us / MICROSECONDS, generation)
        return text, proven

    async def _verify(self, identity: IdentityRequest, signed: SignedRequest | None) -> Verified:
        """All methods of the request, which must agree on the user."""
        if not identity.methods:
            raise unauthorized()
        found: list[Verified] = []
        for method in dict.fromkeys(identity.methods):
            if method not in METHODS:
                raise unauthorized()
            payload = getattr(identity, method)
            if payload is None:
                raise BadRequest(f"Expecting to find {method} in identity. The server could not comply with the "
                                 "request since it is either malformed or otherwise incorrect.")  # fmt: skip
            found.append(await getattr(self, f"_by_{method}")(payload if method != "oauth1" else signed))
        if len({one.user_id for one in found}) != 1:
            raise unauthorized()
        merged = found[0]
        for one in found[1:]:
            merged = _merge(merged, one)
        return merged

    async def _by_password(self, payload: PasswordMethod) -> Verified:
        user = await self.check_password(payload.user)
        if login_facts.must_change_password(user, self._security, self._clock.now()):
            raise Unauthorized(f"The password is expired and needs to be changed for user: {user.id}.")
        return Verified(user_id=user.id, methods=("password",))

    async def check_password(self, wanted: UserName) -> User:
        """The user whose password this is, expired or not. Raises Unauthorized, after the same time whether the user,
        the password or the permission to try is lacking."""
        if wanted.password is None:
            raise BadRequest("Expecting to find password in user. The server could not comply with the request since "
                             "it is either malformed or otherwise incorrect.")  # fmt: skip
        user = await self._find_user(wanted)
        now = self._clock.now()
        may = user is not None and login_facts.may_try(user, self._security, now)
        right = await self._passwords.check(user.password_hash if may and user else None, wanted.password)
        if user is None or not may or not right:
            if self._security.lockout_failure_attempts:
                counted = user.id if user is not None and may else ""
                await self._store.write(login_facts.note_failure, counted, self._security, now)
            raise unauthorized()
        if login_facts.needs_note(user, self._security, now):
            await self._store.write(login_facts.note_success, user.id, now)
        return user

    async def _find_user(self, wanted: UserName) -> User | None:
        """The named user in an enabled domain, or None. Raises BadRequest when it names nobody."""
        domain = wanted.domain
        named = (wanted.id, wanted.name, domain.id if domain else None, domain.name if domain else None)
        key = (USER, msgspec.json.encode(named).decode())
        found = await self._authenticator.memory.read(key, float("inf"), login_facts.find_user, wanted)
        return found.user

    async def fits_any(self, hashes: list[str], password: str) -> bool:
        """Whether the password is one of those hashed."""
        for stored in hashes:
            if await self._passwords.check(stored, password):
                return True
        return False

    async def _by_token(self, payload: TokenMethod) -> Verified:
        proven = await self._authenticator.prove(payload.id)
        if proven is None:
            raise NotFound("Could not find token.")
        token = proven.token
        if token.trust_id or token.access_token_id or token.application_credential_id:
            raise Forbidden("A token of a trust, an application credential or an OAuth consumer can't get another.")
        methods = tuple(dict.fromkeys((*token.methods, "token")))
        return Verified(user_id=token.user_id, methods=methods, parent=token)

    async def _by_application_credential(self, payload: ApplicationCredentialMethod) -> Verified:
        credential, user = await self._store.read(
            login_facts.find_application_credential, payload.id, payload.name, payload.user
        )
        now = self._clock.now()
        may = (
            credential is not None
            and user is not None
            and user.enabled
            and (credential.expires_at is None or credential.expires_at > now)
        )
        right = await self._passwords.check(credential.secret_hash if credential and may else None, payload.secret)
        if not (credential is not None and may and right):
            raise unauthorized()
        return Verified(
            user_id=credential.user_id,
            methods=("application_credential",),
            application_credential_id=credential.id,
            application_credential_project_id=credential.project_id,
            application_credential_expires_at=credential.expires_at,
        )

    async def _by_totp(self, payload: PasswordMethod) -> Verified:
        user = await self._find_user(payload.user)
        now = self._clock.now()
        if user is None or payload.user.passcode is None or not login_facts.may_try(user, self._security, now):
            raise unauthorized()
        secrets = await self._store.read(login_facts.totp_secrets, self._vault, user.id)
        given = payload.user.passcode
        if not any(one_time.fits(secret, given, now) for secret in secrets):
            if self._security.lockout_failure_attempts:
                await self._store.write(login_facts.note_failure, user.id, self._security, now)
            raise unauthorized()
        keep_s = one_time.STEP_S * (one_time.PREVIOUS_STEPS + 2)
        if not await self._store.write(login_facts.use_once, f"totp {user.id} {given}", now, keep_s):
            raise unauthorized()
        return Verified(user_id=user.id, methods=("totp",))

    async def _by_oauth1(self, signed: SignedRequest | None) -> Verified:
        if signed is None:
            raise unauthorized()
        access = await self._store.write(oauth1.verify_access, signed, self._clock.now())
        return Verified(
            user_id=access.authorizing_user_id,
            methods=("oauth1",),
            access_token_id=access.id,
            access_token_project_id=access.project_id,
        )

    async def _hold_rules(self, verified: Verified, receipt: str) -> Verified:
        """Add the methods that a receipt proves, and hold the user's multi-factor rules. Raises Partial."""
        user = await self._find_user(UserName(id=verified.user_id))
        if user is None:
            raise unauthorized()
        if receipt:
            verified = self._with_receipt(verified, receipt, user)
        rules = user.options.get("multi_factor_auth_rules") or []
        known = [rule for rule in rules if rule and set(rule) <= set(METHODS)]
        if not known or not user.options.get("multi_factor_auth_enabled", True):
            return verified
        shown = set(verified.methods)
        if any(set(rule) <= shown for rule in known) or verified.application_credential_id or verified.access_token_id:
            return verified
        now = self._clock.now()
        note = Token(
            user_id=user.id,
            issued_us=round(now * MICROSECONDS),
            expires_us=int(now + RECEIPT_LIFETIME_S) * 1_000_000,
            methods=verified.methods,
            audit_ids=(new_audit_id(),),
        )
        raise Partial(self._authenticator.keys.issue(note, RECEIPT), note, user, known)

    def _with_receipt(self, verified: Verified, receipt: str, user: User) -> Verified:
        try:
            note = self._authenticator.keys.prove(receipt, RECEIPT)
        except InvalidToken as error:
            raise unauthorized() from error
        stale = note.issued_us < user.tokens_not_before * MICROSECONDS
        if note.user_id != user.id or stale or note.expires_us / MICROSECONDS <= self._clock.now():
            raise unauthorized()
        methods = tuple(dict.fromkeys((*note.methods, *verified.methods)))
        return Verified(user_id=verified.user_id, methods=methods, parent=verified.parent)


def _merge(one: Verified, other: Verified) -> Verified:
    """Two methods of one request."""
    if other.application_credential_id or other.access_token_id:
        one, other = other, one
    return Verified(
        user_id=one.user_id,
        methods=tuple(dict.fromkeys((*one.methods, *other.methods))),
        parent=one.parent or other.parent,
        application_credential_id=one.application_credential_id,
        application_credential_project_id=one.application_credential_project_id,
        application_credential_expires_at=one.application_credential_expires_at,
        access_token_id=one.access_token_id,
        access_token_project_id=one.access_token_project_id,
    )
