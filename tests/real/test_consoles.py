"""Consoles in a real browser with a real guest: addresses from the unmodified client, opened and typed into."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, Page
from plain_guest import wait_for
from whole_cloud import WholeCloud

pytestmark = pytest.mark.timeout(900)
SHOWN = "terminal.selectAll(), terminal.getSelection()"
COLOURS = """
(() => {
  const canvas = document.querySelector("canvas");
  const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  return canvas.width >= 640 ? new Set(pixels).size : 0;
})()
"""
HOW_A_SOCKET_ENDS = """
new Promise((done) => {
  const socket = new WebSocket(%r, ["binary"]);
  socket.onopen = () => done("open");
  socket.onclose = () => done("refused");
})
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[WholeCloud]:
    cloud = WholeCloud()
    try:
        cloud.bivouac("up")
        said = cloud.bivouac("setup", "--no-clouds-yaml").stdout
        found = re.search(r"cirros@([0-9.]+)", said)
        assert found, said
        cloud.ssh(found.group(1), "echo cirros:ferns-and-moss | sudo chpasswd")
        yield cloud
    finally:
        cloud.close()


@pytest.fixture(scope="module")
def browser(cloud: WholeCloud) -> Iterator[Browser]:
    browser = Browser(("ip", "netns", "exec", cloud.namespace))
    yield browser
    browser.close()


def address(cloud: WholeCloud, kind: str) -> str:
    """What the client prints for the demo server."""
    openstack = Path(sys.executable).with_name("openstack")
    words = f". {cloud.state}/access/demo-openrc; exec {openstack} console url show --{kind} demo -f value -c url"
    return cloud.inside("bash", "-c", words).stdout.strip()


def keep(page: Page, name: str) -> None:
    """A screenshot for whoever asks for one by BIVOUAC_TEST_SCREENSHOTS=FOLDER."""
    if folder := os.environ.get("BIVOUAC_TEST_SCREENSHOTS"):
        (Path(folder) / f"{name}.png").write_bytes(page.picture())


def test_the_screen_is_shown(cloud: WholeCloud, browser: Browser) -> None:
    page = browser.open(address(cloud, "novnc"))
    wait_for("a picture in the canvas", lambda: (page.value(COLOURS) or 0) > 1, 60)
    keep(page, "vnc")


def test_the_serial_line_shows_the_login_and_what_is_typed_reaches_the_guest(
    cloud: WholeCloud, browser: Browser
) -> None:
    page = browser.open(address(cloud, "serial"))
    wait_for("a connection", lambda: "Connected" in (page.value("state.textContent") or ""), 60)
    page.type("\n")
    wait_for("a login prompt", lambda: "login:" in (page.value(SHOWN) or ""), 60)
    page.type("cirros\n")
    wait_for("a question for the password", lambda: "assword:" in (page.value(SHOWN) or ""), 60)
    page.type("ferns-and-moss\n")
    wait_for("a shell", lambda: "$" in (page.value(SHOWN) or ""), 60)
    page.type("echo $((6*7))-from-the-browser\n")
    wait_for("the guest's answer", lambda: "42-from-the-browser" in (page.value(SHOWN) or ""), 60)
    keep(page, "serial")


def test_wrong_tickets_and_pages_of_other_sites_get_nothing(cloud: WholeCloud, browser: Browser) -> None:
    good = address(cloud, "serial").replace("http", "ws", 1)
    own = browser.open(good.replace("ws", "http", 1))
    assert own.value(HOW_A_SOCKET_ENDS % good) == "open"
    assert own.value(HOW_A_SOCKET_ENDS % f"{good}x") == "refused"
    assert own.value(HOW_A_SOCKET_ENDS % good.replace("serial", "vnc")) == "refused"
    elsewhere = browser.open("data:text/html,<p>another site")
    assert elsewhere.value(HOW_A_SOCKET_ENDS % good) == "refused"
    page = browser.open(address(cloud, "serial") + "x")
    wait_for("a refusal", lambda: "not valid" in (page.value("document.body.innerText") or ""), 30)


def test_programs_reach_the_line_at_either_address(cloud: WholeCloud) -> None:
    """A terminal program takes the older action's ws address as it is; the page's address takes a handshake too."""
    token = cloud.inside("bash", "-c", f". {shlex.quote(str(cloud.state))}/access/demo-openrc; exec "
                         f"{Path(sys.executable).with_name('openstack')} token issue -f value -c id").stdout.strip()
    asked = cloud.inside(sys.executable, "-c", PROGRAM, token)
    assert asked.stdout.split() == ["ws", "prompt", "http", "prompt"], asked.stderr


PROGRAM = """
import json, sys, urllib.request
from websockets.sync.client import connect
api = "http://127.0.0.1:5000/compute/v2.1"

def ask(path, body=None, version="2.1"):
    headers = {"X-Auth-Token": sys.argv[1], "Content-Type": "application/json",
               "OpenStack-API-Version": f"compute {version}"}
    data = None if body is None else json.dumps(body).encode()
    return json.load(urllib.request.urlopen(urllib.request.Request(api + path, data, headers)))

[server] = ask("/servers")["servers"]
old = ask(f"/servers/{server['id']}/action", {"os-getSerialConsole": {"type": "serial"}})["console"]["url"]
body = {"remote_console": {"protocol": "serial", "type": "serial"}}
new = ask(f"/servers/{server['id']}/remote-consoles", body, "2.6")["remote_console"]["url"]
for url in (old, new):
    print(url.partition(":")[0])
    with connect(url.replace("http", "ws", 1), subprotocols=["binary"], proxy=None) as line:
        line.send(b"\\n")
        seen = b""
        while b"login:" not in seen and b"$ " not in seen:  # whoever was here last may have logged in
            seen += line.recv(60)
        print("prompt")
"""
