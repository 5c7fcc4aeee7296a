"""Rules for passwords, lockout, expiry, several factors: each as keystone's security compliance guide has it."""

import base64
from collections.abc import Callable
from typing import Any

import argon2
import pytest

from bivouac.identity import one_time, passwords
from bivouac.identity.records import Nonce

from .conftest import ADMIN_PASSWORD, Cloud

DAY_S = 86_400.0


def make_user(cloud: Cloud, password: str = "secret", **fields: Any) -> str:
    return cloud.make("user", name="u", domain_id="default", password=password, **fields)["id"]


def change(cloud: Cloud, user: str, old: str, new: str) -> Any:
    """The user's own change of password, without a token, a second after the last one."""
    cloud.clock.advance(1)
    return cloud.post(f"/v3/users/{user}/password", {"user": {"original_password": old, "password": new}}, "")


def test_lockout_begins_and_ends(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(lockout_failure_attempts=2, lockout_duration_s=5)
    user = make_user(cloud)
    assert cloud.login(user, "wrong").status == 401
    assert cloud.login(user, "secret").status == 201, "one failure is none"
    assert [cloud.login(user, "wrong").status for _ in range(2)] == [401, 401]
    assert cloud.login(user, "secret").status == 401
    cloud.clock.advance(4)
    assert cloud.login(user, "secret").status == 401
    cloud.clock.advance(2)
    assert cloud.login(user, "wrong").status == 401
    assert cloud.login(user, "secret").status == 201, "after the lockout counting begins anew"
    assert [cloud.login(user, "wrong").status for _ in range(2)] == [401, 401]
    cloud.patch(f"/v3/users/{user}", {"user": {"enabled": False}})
    cloud.patch(f"/v3/users/{user}", {"user": {"enabled": True}})
    assert cloud.login(user, "secret").status == 201, "enabling lifts it"
    cloud.patch(f"/v3/users/{user}", {"user": {"options": {"ignore_lockout_failure_attempts": True}}})
    assert [cloud.login(user, "wrong").status for _ in range(3)] == [401] * 3
    assert cloud.login(user, "secret").status == 201


def test_history_bounds_only_the_users_own_choice(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(unique_last_password_count=2)
    user = make_user(cloud, "one")
    assert change(cloud, user, "one", "one").status == 400
    assert change(cloud, user, "one", "two").status == 204
    assert change(cloud, user, "two", "one").status == 400
    assert change(cloud, user, "two", "three").status == 204
    assert change(cloud, user, "three", "one").status == 204
    assert cloud.patch(f"/v3/users/{user}", {"user": {"password": "three"}}).status == 200
    assert cloud.login(user, "three").status == 201
    assert change(cloud, user, "wrong", "x").status == 401
    assert change(cloud, "nobody", "wrong", "x").status == 401


def test_strength_age_and_lock(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(password_regex=r"^.{6,}$", password_regex_description="six characters",
                       minimum_password_age_days=1)  # fmt: skip
    short = cloud.post("/v3/users", {"user": {"name": "x", "domain_id": "default", "password": "short"}})
    assert short.status == 400 and "six characters" in short["error"]["message"]
    user = make_user(cloud)
    assert change(cloud, user, "secret", "tiny").status == 400
    assert change(cloud, user, "secret", "better1").status == 204, "one set by an administrator may be changed at once"
    assert change(cloud, user, "better1", "better2").status == 400, "too young"
    cloud.clock.advance(DAY_S + 1)
    assert change(cloud, user, "better1", "better2").status == 204
    cloud.clock.advance(DAY_S + 1)
    cloud.patch(f"/v3/users/{user}", {"user": {"options": {"lock_password": True}}})
    assert change(cloud, user, "better2", "better3").status == 400
    rules = cloud.get("/v3/domains/default/config/security_compliance", cloud.token(user, "better2"))
    assert rules["config"]["security_compliance"]["password_regex_description"] == "six characters"


def test_expiry(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(password_expires_days=30)
    user = make_user(cloud)
    shown = cloud.login(user, "secret")["token"]["user"]["password_expires_at"]
    assert shown == "2023-12-14T22:13:20.000000"
    before = "/v3/users?password_expires_at=lt:2023-12-15T00:00:00Z"
    assert [one["id"] for one in cloud.get(before)["users"]] == [user]
    assert cloud.get("/v3/users?password_expires_at=gt:2023-12-15T00:00:00Z")["users"] == []
    assert cloud.get("/v3/users?password_expires_at=soon").status == 400
    cloud.clock.advance(31 * DAY_S)
    refused = cloud.login(user, "secret")
    assert refused.status == 401 and "expired" in refused["error"]["message"]
    wrong = cloud.login(user, "wrong")
    assert wrong.status == 401 and "expired" not in wrong["error"]["message"]
    assert change(cloud, user, "secret", "fresh").status == 204
    assert cloud.login(user, "fresh").status == 201
    free = cloud.make("user", name="f", domain_id="default", password="x", options={"ignore_password_expiry": True})
    assert free["password_expires_at"] is None


def test_first_use(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(change_password_upon_first_use=True)
    user = make_user(cloud)
    assert cloud.login(user, "secret").status == 401
    assert change(cloud, user, "secret", "own").status == 204
    assert cloud.login(user, "own").status == 201
    cloud.patch(f"/v3/users/{user}", {"user": {"password": "reset"}})
    assert cloud.login(user, "reset").status == 401
    cloud.patch(f"/v3/users/{user}", {"user": {"options": {"ignore_change_password_upon_first_use": True}}})
    assert cloud.login(user, "reset").status == 201


def test_inactive_users_are_shut_out(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(disable_user_account_days_inactive=10)
    user = make_user(cloud)
    cloud.clock.advance(9 * DAY_S)
    assert cloud.login(user, "secret").status == 201
    cloud.clock.advance(9 * DAY_S)
    assert cloud.login(user, "secret").status == 201
    cloud.clock.advance(11 * DAY_S)
    assert cloud.login(user, "secret").status == 401


def test_a_hash_from_elsewhere_logs_in(cloud: Cloud) -> None:
    import bcrypt

    hashed = bcrypt.hashpw(b"old", bcrypt.gensalt(4)).decode()
    user = cloud.make("user", name="u", domain_id="default", password_hash=hashed)["id"]
    assert cloud.login(user, "old").status == 201
    assert cloud.login(user, "new").status == 401
    bad = {"user": {"name": "x", "domain_id": "default", "password_hash": "$md5$x"}}
    assert cloud.post("/v3/users", bad).status == 400
    assert "password_hash" not in cloud.get(f"/v3/users/{user}")["user"]


def test_a_user_without_a_password_cannot_log_in(cloud: Cloud) -> None:
    user = cloud.make("user", name="u", domain_id="default")["id"]
    for password in ("", "None", "x"):
        assert cloud.login(user, password).status == 401


# --- several factors ---------------------------------------------------------------------------------------------

SECRET = base64.b32encode(b"12345678901234567890").decode()


def factors(user: str, *methods: str, password: str = "secret", passcode: str = "") -> Any:
    identity: dict[str, Any] = {"methods": list(methods)}
    if "password" in methods:
        identity["password"] = {"user": {"id": user, "password": password}}
    if "totp" in methods:
        identity["totp"] = {"user": {"id": user, "passcode": passcode}}
    return {"auth": {"identity": identity}}


def test_one_time_passcodes_count_once(cloud: Cloud) -> None:
    user = make_user(cloud)
    body = {"type": "totp", "blob": SECRET, "user_id": user}
    assert cloud.post("/v3/credentials", {"credential": body}).status == 201
    code = one_time.passcode(SECRET, cloud.clock.now())
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    assert cloud.post("/v3/auth/tokens", factors(user, "totp", passcode=wrong), "").status == 401
    first = cloud.post("/v3/auth/tokens", factors(user, "totp", passcode=code), "")
    assert (first.status, first["token"]["methods"]) == (201, ["totp"])
    assert cloud.post("/v3/auth/tokens", factors(user, "totp", passcode=code), "").status == 401, "a replay"
    cloud.clock.advance(90)
    assert cloud.post("/v3/auth/tokens", factors(user, "totp", passcode=code), "").status == 401
    other = factors(cloud.made.admin_user_id, "totp", passcode=one_time.passcode(SECRET, cloud.clock.now()))
    assert cloud.post("/v3/auth/tokens", other, "").status == 401


def test_rules_ask_for_all_factors_with_a_receipt_between(cloud: Cloud) -> None:
    options = {"multi_factor_auth_rules": [["password", "totp"]], "multi_factor_auth_enabled": True}
    user = make_user(cloud, options=options)
    cloud.post("/v3/credentials", {"credential": {"type": "totp", "blob": SECRET, "user_id": user}})

    def code() -> str:
        cloud.clock.advance(60)
        return one_time.passcode(SECRET, cloud.clock.now())

    both = cloud.post("/v3/auth/tokens", factors(user, "password", "totp", passcode=code()), "")
    assert both.status == 201
    assert both["token"]["methods"] == ["password", "totp"]
    part = cloud.post("/v3/auth/tokens", factors(user, "password"), "")
    assert part.status == 401
    assert part["receipt"]["methods"] == ["password"]
    assert part["required_auth_methods"] == [["password", "totp"]]
    receipt = part.headers["openstack-auth-receipt"]
    assert cloud.get("/v3/auth/projects", receipt).status == 401, "a receipt is no token"
    rest = factors(user, "totp", passcode=code())
    done = cloud.post("/v3/auth/tokens", rest, "", openstack_auth_receipt=receipt)
    assert done.status == 201
    assert cloud.post("/v3/auth/tokens", rest, "", openstack_auth_receipt=receipt[:-2] + "xx").status == 401
    other = cloud.make("user", name="o", domain_id="default", password="secret", options=options)["id"]
    assert cloud.post("/v3/auth/tokens", factors(other, "password"), "", openstack_auth_receipt=receipt).status == 401
    token = done.headers["x-subject-token"]
    again = {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}}
    assert cloud.post("/v3/auth/tokens", again, "").status == 201
    late = factors(user, "totp", passcode=code())
    cloud.clock.advance(301)
    assert cloud.post("/v3/auth/tokens", late, "", openstack_auth_receipt=receipt).status == 401
    cloud.patch(f"/v3/users/{user}", {"user": {"options": {"multi_factor_auth_enabled": False}}})
    assert cloud.post("/v3/auth/tokens", factors(user, "password"), "").status == 201


def test_methods_must_agree_on_the_user(cloud: Cloud) -> None:
    user = make_user(cloud)
    other = cloud.token(cloud.made.admin_user_id, ADMIN_PASSWORD)
    mixed = factors(user, "password")
    mixed["auth"]["identity"] |= {"methods": ["password", "token"], "token": {"id": other}}
    assert cloud.post("/v3/auth/tokens", mixed, "").status == 401
    assert cloud.post("/v3/auth/tokens", {"auth": {"identity": {"methods": ["magic"]}}}, "").status == 401


def test_bad_options(cloud: Cloud) -> None:
    for options in (
        {"unknown": True}, {"lock_password": "yes"}, {"multi_factor_auth_rules": ["password"]},
        {"multi_factor_auth_rules": [["password", "password"]]}, {"multi_factor_auth_rules": [[1]]},
        {"multi_factor_auth_rules": [["password"], ["password"]]},
    ):  # fmt: skip
        body = {"user": {"name": "x", "domain_id": "default", "options": options}}
        assert cloud.post("/v3/users", body).status == 400, options


def test_an_unknown_user_costs_as_much_work_as_a_wrong_password(
    make_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen in the work, not by a clock: one hash of the same cost, and one write, whatever is wrong."""
    cloud = make_cloud(lockout_failure_attempts=3)
    make_user(cloud)
    cloud.make("user", name="empty", domain_id="default")
    cloud.make("user", name="off", domain_id="default", password="secret", enabled=False)
    locked = cloud.make("user", name="locked", domain_id="default", password="secret")["id"]
    for _ in range(3):
        cloud.login(locked, "wrong")
    hashed: list[str] = []
    verify = passwords.verify
    monkeypatch.setattr(passwords, "verify", lambda stored, password: hashed.append(stored) or verify(stored, password))
    written: list[Any] = []
    write = cloud.store.engine.write
    monkeypatch.setattr(cloud.store.engine, "write", lambda *call: written.append(call[0]) or write(*call))

    def work(name: str, domain: str = "default") -> tuple[Any, ...]:
        hashed.clear()
        written.clear()
        identity: Any = {"methods": ["password"]}
        identity["password"] = {"user": {"name": name, "domain": {"id": domain}, "password": "wrong"}}
        answer = cloud.post("/v3/auth/tokens", {"auth": {"identity": identity}}, "")
        return answer.body, list(written), [argon2.extract_parameters(one) for one in hashed]

    body, rules, hashes = work("u")
    assert (len(rules), len(hashes)) == (1, 1)
    for nobody in (("nobody",), ("empty",), ("off",), ("locked",), ("u", "elsewhere")):
        assert work(*nobody) == (body, rules, hashes), nobody
        assert cloud.store.read_now(lambda tx: tx.count(Nonce)), "a row, as a failure that counts writes one"
