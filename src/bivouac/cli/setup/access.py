"""Users and what they need to come in: passwords, keys, openrc files, clouds.yaml."""

from __future__ import annotations

import os
import pwd
import secrets
import shlex
import sys
from pathlib import Path
from typing import Any

from bivouac.core.run import run as run_program
from bivouac.core.settings import Settings

from ..client import ApiError, Cloud
from ..clouds_yaml import ENTRIES, put_entries
from ..errors import CommandFailed
from ..layout import DEFAULT_STATE, Layout
from ..made import remember
from . import find

ADMIN = "admin"
COMMAND_LINK = Path("/usr/local/bin/bivouac")


def invoker() -> tuple[str, int, int, Path]:
    """Who asked for this, behind sudo too: name, uid, gid and home."""
    name = os.environ.get("SUDO_USER", "")
    try:
        entry = pwd.getpwnam(name) if name else pwd.getpwuid(os.getuid())
    except KeyError:
        return "root", 0, 0, Path("/root")
    home = Path(entry.pw_dir) if name else Path(os.environ.get("HOME") or entry.pw_dir)
    return entry.pw_name, entry.pw_uid, entry.pw_gid, home


def access_folder(layout: Layout) -> Path:
    """The folder with keys and openrc files, which belongs to whoever asked for it."""
    folder = layout.state / "access"
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, *invoker()[1:3])
    return folder


def _write(path: Path, text: str) -> None:
    """A file for the invoker alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
    os.chown(path, *invoker()[1:3])


def auth_url(settings: Settings) -> str:
    """The identity endpoint."""
    return f"{settings.public_url}/identity/v3"


def authority(settings: Settings) -> Path | None:
    """The certificate that clients must trust; None where the APIs are served on loopback only."""
    return settings.authority_path / "certificate.pem" if settings.secure else None


def admin_cloud(layout: Layout, settings: Settings) -> Cloud:
    """The cloud as its administrator sees it. Raises CommandFailed when the cloud was never started."""
    try:
        password = layout.admin_password.read_text().strip()
    except OSError as error:
        raise CommandFailed(f"{layout.admin_password}: {error.strerror}; start the cloud first: bivouac up") from error
    return Cloud(auth_url(settings), ADMIN, password, ADMIN, authority=authority(settings))


def ensure_demo(admin: Cloud, layout: Layout, settings: Settings, name: str) -> Cloud:
    """The demo project and its user, a member there."""
    base = auth_url(settings)
    password_file = access_folder(layout) / "demo-password"
    project = find(admin, base, "/projects?domain_id=default", "projects", name)
    if project is None:
        wanted = {"name": name, "domain_id": "default", "description": "Somewhere to try things"}
        project = admin.post(base, "/projects", {"project": wanted})["project"]
    user = find(admin, base, "/users?domain_id=default", "users", name)
    if user is None or not password_file.exists():
        password = secrets.token_urlsafe(18)
        _write(password_file, password + "\n")
        if user is None:
            wanted = {"name": name, "domain_id": "default", "password": password, "default_project_id": project["id"]}
            user = admin.post(base, "/users", {"user": wanted})["user"]
        else:
            admin.call("PATCH", base, f"/users/{user['id']}", {"user": {"password": password}})
    role = find(admin, base, "/roles", "roles", "member")
    if role is None:
        raise CommandFailed("the cloud has no role `member`")
    admin.call("PUT", base, f"/projects/{project['id']}/users/{user['id']}/roles/{role['id']}")
    demo = Cloud(base, name, password_file.read_text().strip(), name, authority=admin.authority)
    try:
        demo.log_in()
    except ApiError as error:
        if error.status != 401:
            raise
        # The password was changed, or a run was cut off between file and user: the file is what we hand out.
        body = {"user": {"password": demo.password}}
        admin.call("PATCH", base, f"/users/{user['id']}", body)
        demo.log_in()
    return demo


def ensure_key_pair(layout: Layout) -> str:
    """The demo key's public line; the pair is made if it is not there."""
    key = access_folder(layout) / "demo_key"
    if not key.exists():
        run_program(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bivouac-demo", "-f", str(key)], timeout_s=30)
    public = key.with_suffix(".pub")
    for path in (key, public):
        os.chown(path, *invoker()[1:3])
    return public.read_text().strip()


def write_client_settings(layout: Layout, settings: Settings, admin: Cloud, demo: Cloud, clouds_yaml: bool) -> str:
    """openrc files, and our entries in the invoker's clouds.yaml. Returns what to tell."""
    folder = access_folder(layout)
    for cloud in (admin, demo):
        _write(folder / f"{cloud.user}-openrc", openrc(cloud, settings))
    if not clouds_yaml:
        return f"in {folder}"
    _, uid, gid, home = invoker()
    path = home / ".config/openstack/clouds.yaml"
    entries = {ENTRIES[0]: _entry(demo, settings), ENTRIES[1]: _entry(admin, settings)}
    changed = put_entries(path, entries, (uid, gid))
    remember(layout, "clouds_yaml", str(path))
    return f"{path} {'written' if changed else 'is up to date'}"


def _entry(cloud: Cloud, settings: Settings) -> dict[str, Any]:
    trusted = {"cacert": str(cloud.authority)} if cloud.authority else {}
    return {
        **trusted,
        "auth": {
            "auth_url": cloud.auth_url,
            "username": cloud.user,
            "password": cloud.password,
            "project_name": cloud.project,
            "user_domain_name": cloud.domain,
            "project_domain_name": cloud.domain,
        },
        "region_name": settings.region.name,
        "identity_api_version": "3",
        "volume_api_version": "3",
    }


def openrc(cloud: Cloud, settings: Settings) -> str:
    """Shell lines that point OpenStack's clients at the cloud."""
    variables = {
        "OS_AUTH_URL": cloud.auth_url,
        "OS_USERNAME": cloud.user,
        "OS_PASSWORD": cloud.password,
        "OS_PROJECT_NAME": cloud.project,
        "OS_USER_DOMAIN_NAME": cloud.domain,
        "OS_PROJECT_DOMAIN_NAME": cloud.domain,
        "OS_REGION_NAME": settings.region.name,
        "OS_IDENTITY_API_VERSION": "3",
    }
    if cloud.authority:
        variables["OS_CACERT"] = str(cloud.authority)
    lines = ["unset OS_CLOUD OS_CACERT", *(f"export {name}={shlex.quote(value)}" for name, value in variables.items())]
    return "\n".join(lines) + "\n"


def link_command(layout: Layout) -> str:
    """Put `bivouac` on everybody's path for the machine's own cloud; returns how to call it.

    A command of that name that is not ours stays, and a cloud elsewhere gets no link: then the long way is told.
    """
    ours = Path(sys.prefix) / "bin/bivouac"
    if layout.state == DEFAULT_STATE and ours.exists():
        if not COMMAND_LINK.exists() and not COMMAND_LINK.is_symlink():
            COMMAND_LINK.symlink_to(ours)
            remember(layout, "link", str(COMMAND_LINK))
        if COMMAND_LINK.resolve() == ours.resolve():
            return "bivouac"
    command = str(ours) if ours.exists() else f"{sys.executable} -m bivouac.cli.main"
    return command if layout.state == DEFAULT_STATE else f"BIVOUAC_STATE={layout.state} {command}"


def print_what_next(layout: Layout, settings: Settings, address: str, elapsed_s: float, command: str) -> None:
    """Where everything is, and three commands to try."""
    folder = layout.state / "access"
    first = f"ssh -i {folder}/demo_key cirros@{address}" if address else "openstack --os-cloud bivouac flavor list"
    commands = [
        first,
        "openstack --os-cloud bivouac server list",
        "openstack --os-cloud bivouac server create --flavor m1.micro --image tiny --key-name demo --network demo "
        "--security-group demo --wait second",
    ]
    print(
        f"\nThe cloud is ready ({elapsed_s:.0f} s).\n\n"
        f"  Identity endpoint    {auth_url(settings)}\n"
        f"  clouds.yaml          entries `bivouac` (project demo) and `bivouac-admin`\n"
        f"  openrc files         {folder}/demo-openrc, {folder}/admin-openrc\n"
        f"  admin's password     {layout.admin_password}\n\n"
        "Try:\n" + "".join(f"  {line}\n" for line in commands) + f"\nLook after it with `{command} status`, "
        "and likewise `down`, `up`, `doctor` and `destroy`."
    )
