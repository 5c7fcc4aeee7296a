"""Configuration of domains: options for LDAP and SQL drivers that Keystone's clients keep here.

Bivouac has one identity store, so the options are kept and given back; `security_compliance` shows the rules for
passwords, which users may read. Secret options are never shown. Source: Identity API v3, "Domain configuration".
"""

from typing import Any

from ...core.call import Call
from ...core.errors import Forbidden, NotFound
from ...core.settings import Security
from ...core.store import Tx
from ..catalog_records import DomainOption
from . import targets

DEFAULTS: dict[str, dict[str, Any]] = {
    "identity": {"driver": "sql", "list_limit": None},
    "ldap": {
        "url": "ldap://localhost", "user": None, "password": None, "suffix": "cn=example,cn=com",
        "query_scope": "one", "page_size": 0, "alias_dereferencing": "default", "debug_level": None,
        "chase_referrals": None, "user_tree_dn": None, "user_filter": None, "user_objectclass": "inetOrgPerson",
        "user_id_attribute": "cn", "user_name_attribute": "sn", "user_description_attribute": "description",
        "user_mail_attribute": "mail", "user_pass_attribute": "userPassword", "user_enabled_attribute": "enabled",
        "user_enabled_invert": False, "user_enabled_mask": 0, "user_enabled_default": "True",
        "user_attribute_ignore": ["default_project_id"], "user_default_project_id_attribute": None,
        "user_enabled_emulation": False, "user_enabled_emulation_dn": None,
        "user_enabled_emulation_use_group_config": False, "user_additional_attribute_mapping": [],
        "group_tree_dn": None, "group_filter": None, "group_objectclass": "groupOfNames",
        "group_id_attribute": "cn", "group_name_attribute": "ou", "group_member_attribute": "member",
        "group_members_are_ids": False, "group_desc_attribute": "description", "group_attribute_ignore": [],
        "group_additional_attribute_mapping": [], "tls_cacertfile": None, "tls_cacertdir": None, "use_tls": False,
        "tls_req_cert": "demand", "connection_timeout": -1, "use_pool": True, "pool_size": 10, "pool_retry_max": 3,
        "pool_retry_delay": 0.1, "pool_connection_timeout": -1, "pool_connection_lifetime": 600,
        "use_auth_pool": True, "auth_pool_size": 100, "auth_pool_connection_lifetime": 60,
    },
}  # fmt: skip
SECRET = frozenset({("ldap", "password")})
COMPLIANCE = "security_compliance"
COMPLIANCE_OPTIONS = ("password_regex", "password_regex_description")

Config = dict[str, dict[str, Any]]


def _check_known(config: Config) -> None:
    """Raises Forbidden for sections and options that a domain can't have."""
    if not config:
        raise Forbidden("Invalid domain specific configuration: No options specified.")
    for section, options in config.items():
        if section not in DEFAULTS:
            raise Forbidden(f"Group {section} is not supported for domain specific configurations.")
        if not isinstance(options, dict):
            raise Forbidden(f"Group {section} must hold options.")
        for name in options:
            if name not in DEFAULTS[section]:
                raise Forbidden(f"Option {name} in group {section} is not supported for domains.")


def _stored(tx: Tx, domain_id: str) -> Config:
    found: Config = {}
    for row in tx.select(DomainOption, "WHERE domain_id = ? ORDER BY section, name", domain_id):
        if (row.section, row.name) not in SECRET:
            found.setdefault(row.section, {})[row.name] = row.value["value"]
    return found


def _put(tx: Tx, domain_id: str, config: Config) -> None:
    for section, options in config.items():
        for name, value in options.items():
            tx.upsert(DomainOption(domain_id=domain_id, section=section, name=name, value={"value": value}))


def _narrow(config: Config, section: str | None, name: str | None) -> Any:
    """The part asked for. Raises NotFound."""
    if section is None:
        if not config:
            raise NotFound("Could not find domain configuration for this domain.")
        return config
    if section not in config or (name is not None and name not in config[section]):
        raise NotFound(f"Could not find {section}{'.' + name if name else ''} in the domain's configuration.")
    if name is None:
        return {section: config[section]}
    return {name: config[section][name]}


def get(tx: Tx, call: Call, domain_id: str, section: str | None, name: str | None) -> Any:
    """Raises Forbidden, NotFound."""
    call.enforce("identity:get_domain_config", {})
    targets.domain(tx, domain_id)
    if section is not None:
        _check_known({section: {name: None} if name else {}})
    return _narrow(_stored(tx, domain_id), section, name)


def compliance(tx: Tx, call: Call, domain_id: str, name: str | None, security: Security) -> Any:
    """The rules for passwords, for everybody. Raises Forbidden (another option), NotFound."""
    call.enforce("identity:get_security_compliance_domain_config", {})
    targets.domain(tx, domain_id)
    values = {option: getattr(security, option) or None for option in COMPLIANCE_OPTIONS}
    if name is None:
        return {COMPLIANCE: values}
    if name not in values:
        raise Forbidden(f"Option {name} of {COMPLIANCE} is not shown.")
    return {name: values[name]}


def default(tx: Tx, call: Call, section: str | None, name: str | None) -> Any:
    """Raises Forbidden, NotFound."""
    call.enforce("identity:get_domain_config_default", {})
    if section is not None:
        _check_known({section: {name: None} if name else {}})
    public = {
        one: {option: value for option, value in options.items() if (one, option) not in SECRET}
        for one, options in DEFAULTS.items()
    }
    return _narrow(public, section, name)


def create(tx: Tx, call: Call, domain_id: str, config: Config) -> tuple[Config, bool]:
    """Replace the whole configuration; True when there was none. Raises Forbidden, NotFound."""
    call.enforce("identity:create_domain_config", {})
    targets.domain(tx, domain_id)
    _check_known(config)
    existed = bool(tx.delete_where(DomainOption, "domain_id = ?", domain_id))
    _put(tx, domain_id, config)
    return _stored(tx, domain_id), not existed


def update(tx: Tx, call: Call, domain_id: str, section: str | None, name: str | None, config: Config) -> Any:
    """Set some options. With a section or option in the path, the body must be about just that.

    Raises Forbidden, NotFound.
    """
    call.enforce("identity:update_domain_config", {})
    targets.domain(tx, domain_id)
    if name is not None and section is not None:
        config = config if section in config else {section: config}
    _check_known(config)
    if section is not None:
        _check_known({section: {name: None} if name else {}})
        if set(config) != {section} or (name is not None and set(config[section]) != {name}):
            raise Forbidden("The body must hold just the group or option that the path names.")
        rows = tx.select(DomainOption, "WHERE domain_id = ? AND section = ?", domain_id, section)
        stored = {row.name for row in rows}
        if not stored or (name is not None and name not in stored):
            raise NotFound(f"Could not find {section}{'.' + name if name else ''} in the domain's configuration.")
    _put(tx, domain_id, config)
    return _stored(tx, domain_id)


def delete(tx: Tx, call: Call, domain_id: str, section: str | None, name: str | None) -> None:
    """Raises Forbidden, NotFound."""
    call.enforce("identity:delete_domain_config", {})
    targets.domain(tx, domain_id)
    where, args = "domain_id = ?", [domain_id]
    if section is not None:
        where, args = where + " AND section = ?", [*args, section]
    if name is not None:
        where, args = where + " AND name = ?", [*args, name]
    if not tx.delete_where(DomainOption, where, *args) and section is not None:
        raise NotFound("Could not find this part of the domain's configuration.")


