"""Consoles: who gets an address, what opens it, and what does not."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from in_process import Dialled

from bivouac.compute.api import xterm

from .cloud import Cloud

HOST = "cloud:5000"


def address(cloud: Cloud, id: str, kind: str) -> str:
    """What `openstack console url show` prints."""
    protocol = {"novnc": "vnc", "serial": "serial"}[kind]
    body = {"remote_console": {"protocol": protocol, "type": kind}}
    return cloud.ask("POST", f"/servers/{id}/remote-consoles", body, version="2.6")["remote_console"]["url"]


def ticket(url: str) -> str:
    return parse_qs(unquote(urlsplit(url).query).rpartition("?")[2])["token"][0]


def dial(cloud: Cloud, path: str, token: str, origin: str = "") -> list[tuple[Any, ...]]:
    """What a WebSocket's client is told, while hosts work."""
    fields = {"host": HOST, **({"origin": origin} if origin else {})}
    client = Dialled(f"{path}?token={token}", fields, ["binary"])

    async def both() -> None:
        serving = asyncio.ensure_future(cloud.application.websocket(client))  # type: ignore[arg-type]
        while not serving.done():
            await asyncio.sleep(0.001)
            for agent in cloud.agents.values():
                agent.work()
        await serving

    cloud.run(both())
    return client.told


def test_a_console_is_opened_by_its_ticket_only(cloud: Cloud) -> None:
    id = cloud.active()
    token = ticket(address(cloud, id, "novnc"))
    kept = cloud.store.read_now(lambda tx: tx.query("SELECT token_hash FROM console_sessions"))
    assert token and token not in str(kept)
    shown = cloud.admin("GET", f"/os-console-auth-tokens/{token}", version="2.31")["console"]
    assert shown["instance_uuid"] == id
    assert cloud.admin("GET", "/os-console-auth-tokens/other", version="2.31").status == 404
    cloud.advance(601)
    assert cloud.admin("GET", f"/os-console-auth-tokens/{token}", version="2.31").status == 404
    spice = {"remote_console": {"protocol": "spice", "type": "spice-html5"}}
    assert cloud.ask("POST", f"/servers/{id}/remote-consoles", spice, version="2.6").status == 400
    assert cloud.act(id, "os-getVNCConsole", {"type": "novnc"}).status == 200
    assert cloud.act(id, "os-getVNCConsole", {"type": "novnc"}, version="2.6").status == 400


def test_addresses_open_in_a_browser_and_the_older_action_gives_a_websocket_s(cloud: Cloud) -> None:
    id = cloud.active()
    assert address(cloud, id, "novnc").startswith(f"http://{HOST}/console/vnc_lite.html?")
    assert address(cloud, id, "serial").startswith(f"http://{HOST}/console/serial?token=")
    old = cloud.act(id, "os-getSerialConsole", {"type": "serial"})["console"]["url"]
    assert old.startswith(f"ws://{HOST}/console/serial?token=")


OWN, OTHER = f"http://{HOST}", "http://elsewhere.example"
DIALS = [
    ("/console/serial", "good", "", True),
    ("/console/serial", "good", OWN, True),
    ("/console/serial", "good", OWN.upper(), True),
    ("/console/serial", "good", OTHER, False),
    ("/console/serial", "good", "null", False),
    ("/console/serial", "good", f"{OWN}.elsewhere.example", False),
    ("/console/serial", "expired", OWN, False),
    ("/console/serial", "wrong", OWN, False),
    ("/console/serial", "", OWN, False),
    ("/console/vnc", "good", OWN, False),
]


@pytest.mark.parametrize(("path", "which", "origin", "well"), DIALS)
def test_a_line_is_refused_without_a_ticket_and_to_other_sites(
    cloud: Cloud, path: str, which: str, origin: str, well: bool
) -> None:
    token = ticket(address(cloud, cloud.active(), "serial"))
    if which == "expired":
        cloud.advance(601)
    told = dial(cloud, path, {"good": token, "expired": token, "wrong": "x" * 43, "": ""}[which], origin)
    if well:
        # Accepted, as a ticket is; this host then has no console to give.
        assert told == [("accept", "binary"), ("close", 1011, "not now")]
    else:
        assert [message[:2] for message in told] == [("close", 4403)]


def fetch(cloud: Cloud, path: str) -> Any:
    return cloud.ask("GET", path, who="", prefix="", raw=True)


def test_the_serial_page_wants_a_ticket_and_names_its_parts(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = ticket(address(cloud, cloud.active(), "serial"))
    monkeypatch.setattr(xterm, "FOLDERS", (tmp_path,))
    missing = cloud.ask("GET", f"/console/serial?token={token}", who="", prefix="")
    assert (missing.status, "node-xterm" in str(missing.body)) == (404, True)
    for name in ("css/xterm.css", "lib/xterm.js"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(f"/* {name} */")
    page = fetch(cloud, f"/console/serial?token={token}")
    assert (page.status, page.headers["content-type"]) == (200, "text/html")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert token not in page.body.decode()
    for part in ("xterm.js", "xterm.css", "page.js", "page.css"):
        assert f"terminal/{part}" in page.body.decode()
        assert fetch(cloud, f"/console/terminal/{part}").status == 200
    for refused in ("", "?token=", f"?token={token}x"):
        assert cloud.ask("GET", f"/console/serial{refused}", who="", prefix="").status == 404
    cloud.advance(601)
    assert cloud.ask("GET", f"/console/serial?token={token}", who="", prefix="").status == 404


def test_modules_of_an_older_xterm_become_one_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xterm, "FOLDERS", (tmp_path,))
    for name, text in {
        "xterm.css": "", "xterm.js": "stub", "public/Terminal.js": 'require("../core/Line"); // public',
        "core/Line.js": "require('./Cell'); // line", "core/Cell.js": 'require("../public/Terminal"); // cell',
        "core/Line.test.js": "// test",
    }.items():  # fmt: skip
        (tmp_path / "lib" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lib" / name).write_text(text)
    made = xterm.script()
    assert [made.count(f"// {word}\n") for word in ("public", "line", "cell", "test")] == [1, 1, 1, 0]
    assert '{"../core/Line": "core/Line.js"}' in made and 'load("public/Terminal.js")' in made


OUTSIDE = [
    "/console/../../etc/passwd", "/console/%2e%2e/%2e%2e/etc/passwd", "/console//etc/passwd",
    "/console/terminal/..%2fconsole_proxy.py", "/console/terminal/%2fetc%2fpasswd", "/console/terminal/..",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_beside_the_pages_files_is_served(cloud: Cloud, path: str) -> None:
    assert cloud.ask("GET", path, who="", prefix="").status == 404
