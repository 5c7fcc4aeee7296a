"""Settings that follow from others: who can reach the APIs, how, and under which names."""

from __future__ import annotations

import pytest

from bivouac.core.settings import Http, Settings

ADDRESSES = [
    ("127.0.0.1", False, "http://127.0.0.1:5000"),
    ("localhost", False, "http://localhost:5000"),
    ("::1", False, "http://[::1]:5000"),
    ("127.8.9.1", False, "http://127.8.9.1:5000"),
    ("10.1.2.3", True, "https://10.1.2.3:5000"),
    ("2001:db8::1", True, "https://[2001:db8::1]:5000"),
    ("cloud.example", True, "https://cloud.example:5000"),
]


@pytest.mark.parametrize(("host", "secure", "url"), ADDRESSES)
def test_beyond_loopback_everything_is_served_over_tls(host: str, secure: bool, url: str) -> None:
    settings = Settings(http=Http(host=host))
    assert (settings.secure, settings.public_url) == (secure, url)
    assert settings.url(8080) == url.replace("5000", "8080")
    assert host in settings.names and "localhost" in settings.names


def test_every_address_means_the_machine_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bivouac.core.settings._own_address", lambda: "10.9.8.7")
    for everywhere in ("0.0.0.0", "::"):
        settings = Settings(http=Http(host=everywhere))
        assert (settings.secure, settings.public_url) == (True, "https://10.9.8.7:5000")


def test_a_public_url_is_the_catalog_s_and_its_name_the_certificate_s() -> None:
    settings = Settings(http=Http(host="10.1.2.3", public_url="https://cloud.example/"))
    assert settings.public_url == "https://cloud.example"
    assert settings.url(8080) == "https://10.1.2.3:8080"
    assert "cloud.example" in settings.names
