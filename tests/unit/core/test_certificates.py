"""The cloud's authority: whom its certificates prove to whom, for how long, and who can read their keys."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from bivouac.core import certificates
from bivouac.core.tls import NoCertificate, ServerTls, client_context, common_name

NAMES = ["cloud.example", "10.1.2.3", "localhost"]


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    folder = tmp_path / "authority"
    certificates.ensure_authority(folder, "cloud.example")
    return folder


@pytest.fixture
def server(authority: Path, tmp_path: Path) -> Path:
    pem = tmp_path / "server.pem"
    assert certificates.ensure_server(authority, pem, NAMES)
    return pem


def host(authority: Path, folder: Path, name: str = "host-b") -> Path:
    pem = folder / f"{name}.pem"
    certificates.replace_file(pem, certificates.issue_host(authority, name), 0o600)
    return pem


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[str, str]:
    """What the client calls the server's certificate, and the server the client's. Raises ssl.SSLError."""
    here, there = socket.socketpair()
    seen: list[str | BaseException] = []

    def serve() -> None:
        try:
            with server.wrap_socket(here, server_side=True) as link:
                seen.append(common_name(link.getpeercert()))
                link.recv(1)
                link.sendall(b"x")
        except (ssl.SSLError, OSError) as error:
            seen.append(error)
            here.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(there, server_hostname=name) as link:
            link.sendall(b"x")
            link.recv(1)  # in TLS 1.3 a client learns only now that its own certificate was refused
            shown = common_name(link.getpeercert())
    finally:
        there.close()
        thread.join(10)
    if isinstance(seen[0], BaseException):
        raise seen[0]
    return shown, seen[0]


def strict(context: ssl.SSLContext) -> ssl.SSLContext:
    """As newer Pythons check by default."""
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def test_keys_are_their_owner_s_alone_under_any_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        certificates.ensure_authority(tmp_path, "x")
        certificates.ensure_server(tmp_path, tmp_path / "server.pem", NAMES)
        certificates.replace_file(tmp_path / "server.pem", b"again", 0o600)
    finally:
        os.umask(old)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"certificate.pem": 0o644, "key.pem": 0o600, "server.pem": 0o600}


@pytest.mark.parametrize("name", NAMES)
def test_a_server_proves_itself_by_each_of_its_names(authority: Path, server: Path, name: str) -> None:
    trusting = strict(client_context(authority / "certificate.pem"))
    assert shake_hands(ServerTls(server).context, trusting, name) == (NAMES[0], "")


def test_another_name_and_another_authority_are_refused(authority: Path, server: Path, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(ServerTls(server).context, client_context(authority / "certificate.pem"), "elsewhere.example")
    other = certificates.ensure_authority(tmp_path / "other", "cloud.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(ServerTls(server).context, client_context(other), NAMES[0])


def test_only_a_host_s_certificate_opens_the_agents_listener(authority: Path, server: Path, tmp_path: Path) -> None:
    trusted = authority / "certificate.pem"
    listener = ServerTls(server, clients=trusted).context
    mine = strict(client_context(trusted, host(authority, tmp_path)))
    assert shake_hands(strict(listener), mine, "10.1.2.3") == (NAMES[0], "host-b")
    certificates.ensure_authority(tmp_path / "other", "cloud.example")
    foreign = host(tmp_path / "other", tmp_path, "host-c")
    for refused in (client_context(trusted), client_context(trusted, server), client_context(trusted, foreign)):
        with pytest.raises((ssl.SSLError, OSError)):
            shake_hands(listener, refused, "10.1.2.3")


def test_a_host_s_certificate_cannot_play_control(authority: Path, tmp_path: Path) -> None:
    pretending = ServerTls(host(authority, tmp_path)).context
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(pretending, client_context(authority / "certificate.pem"), "10.1.2.3")


def _shorten(pem: Path, authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "SERVER_LIFE", certificates.RENEW_BEFORE - timedelta(days=1))
    pem.unlink()
    certificates.ensure_server(authority, pem, NAMES)
    monkeypatch.undo()


def _damage(pem: Path, authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem.write_bytes(pem.read_bytes()[:200])


def _replace_authority(pem: Path, authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (authority / "key.pem").unlink()
    certificates.ensure_authority(authority, "cloud.example")


@pytest.mark.parametrize("change", [_shorten, _damage, _replace_authority])
def test_what_is_not_good_any_more_is_made_anew(
    authority: Path, server: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., None]
) -> None:
    assert not certificates.ensure_server(authority, server, NAMES)
    assert not certificates.ensure_server(authority, server, list(reversed(NAMES)))
    change(server, authority, monkeypatch)
    assert certificates.ensure_server(authority, server, NAMES)
    assert not certificates.ensure_server(authority, server, NAMES)
    assert certificates.ensure_server(authority, server, [*NAMES, "another.example"])
    assert shake_hands(ServerTls(server).context, client_context(authority / "certificate.pem"), "another.example")


def test_a_server_takes_a_renewed_certificate_and_keeps_a_good_one(authority: Path, server: Path) -> None:
    serving = ServerTls(server)
    trusting = client_context(authority / "certificate.pem")
    assert not serving.refresh()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(serving.context, trusting, "another.example")
    certificates.ensure_server(authority, server, [*NAMES, "another.example"])
    assert serving.refresh()
    assert shake_hands(serving.context, trusting, "another.example")
    server.write_text("damaged")
    assert not serving.refresh()
    assert shake_hands(serving.context, trusting, "another.example")


def test_a_missing_certificate_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(NoCertificate, match=r"server\.pem.*bivouac up"):
        ServerTls(tmp_path / "server.pem")
