"""What the commands say: status, doctor, progress, flavors, and clear words when something is wrong."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bivouac.cli import doctor, start
from bivouac.cli.client import ApiError, _reason, answers, ask_control
from bivouac.cli.layout import Layout, make_state_directory
from bivouac.cli.made import made, remember
from bivouac.cli.main import COMMANDS, main, parser_for
from bivouac.cli.processes import identify
from bivouac.cli.progress import Progress
from bivouac.cli.setup.flavors import MANDATORY, RECOMMENDED, scs_flavor
from bivouac.cli.setup.networks import _pool
from bivouac.cli.status import collect, span
from bivouac.core.settings import Settings


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "--state" in capsys.readouterr().out


def test_the_state_directory_comes_from_option_environment_or_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIVOUAC_STATE", raising=False)
    assert parser_for("status").parse_args(["status"]).state == "/var/lib/bivouac"
    monkeypatch.setenv("BIVOUAC_STATE", "/run/one")
    assert parser_for("status").parse_args(["status"]).state == "/run/one"
    assert parser_for("status").parse_args(["status", "--state", "/run/two"]).state == "/run/two"


def test_status_of_nothing_says_how_to_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--state", str(tmp_path)]) == 3
    assert "bivouac up" in capsys.readouterr().out


def known(layout: Layout, pid: int, last_end: str = "") -> None:
    layout.run.mkdir(exist_ok=True)
    identity = identify(pid)
    entry = {"name": "control", "since": time.time(), "restarts": 2, "last_end": last_end}
    entry["identity"] = {"pid": pid, "start_ticks": identity.start_ticks} if identity else None
    layout.status.write_text(json.dumps({"supervisor": {}, "processes": [entry]}))


def test_status_looks_at_the_processes_themselves(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    known(layout, os.getpid())
    assert collect(layout)["processes"][0]["running"]
    document = json.loads(layout.status.read_text())
    document["processes"][0]["identity"]["start_ticks"] -= 1
    layout.status.write_text(json.dumps(document))
    seen = collect(layout)
    assert not seen["processes"][0]["running"]
    assert seen["exit"] == 3


def test_status_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known(Layout(tmp_path), os.getpid())
    assert main(["status", "--state", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "the supervisor is gone" in out and "control does not answer" in out


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (119, "119 s"), (240, "4 min"), (172800, "2 d")])
def test_spans_of_time_are_short(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_port_in_use_is_reported_with_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("BIVOUAC_HTTP_PORT", str(server.getsockname()[1]))
        for name in ("SWIFT_PORT", "S3_PORT"):
            monkeypatch.setenv(f"BIVOUAC_OBJECT_STORE_{name}", "0")
        [finding] = [found for found in doctor.examine(tmp_path, quick=True) if found.name == "ports"]
    assert finding.state == "bad"
    assert f"pid {os.getpid()}" in finding.what and "http.port" in finding.mend


def test_ports_of_a_cloud_whose_supervisor_died_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    command = [sys.executable, "-c", listen, "-m", "bivouac.app", "--state", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        monkeypatch.setenv("BIVOUAC_HTTP_PORT", process.stdout.readline().strip())
        for name in ("SWIFT_PORT", "S3_PORT"):
            monkeypatch.setenv(f"BIVOUAC_OBJECT_STORE_{name}", "0")
        [finding] = [found for found in doctor.examine(tmp_path, quick=True) if found.name == "ports"]
        process.kill()
    assert finding.state == "ok"


def test_what_a_dead_supervisor_knew_does_not_end_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    layout.run.mkdir()
    layout.log.mkdir()
    died = {"name": "control", "identity": None, "restarts": 9, "last_end": "was killed by SIGKILL", "since": 0.0}
    layout.status.write_text(json.dumps({"processes": [died]}))
    monkeypatch.setattr(start, "spawn", lambda *_, **__: None)
    monkeypatch.setattr(start, "answers", lambda *_: True)
    monkeypatch.setattr(start, "all_processes_run", lambda layout: start.failing_process(layout) is None)
    with Progress() as progress:
        start.start(layout, Settings(drivers="sim"), progress)


def test_wrong_settings_are_a_finding(tmp_path: Path) -> None:
    (tmp_path / "bivouac.toml").write_text("[http]\nport = 'many'\n")
    assert [found.state for found in doctor.examine(tmp_path, quick=True) if found.name == "settings"] == ["bad"]


def test_a_state_path_too_long_for_sockets_is_a_finding(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 60)
    assert [found.state for found in doctor.examine(long, quick=True) if found.name == "state"] == ["bad"]


def test_missing_programs_are_named_with_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SEARCH_PATH", str(tmp_path))
    finding = doctor._programs()
    assert finding.state == "bad"
    assert "ovn-northd" in finding.what and "apt-get install" in finding.mend and "ovn-central" in finding.mend


def test_every_bad_finding_says_how_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SEARCH_PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "NEEDED_MEMORY_BYTES", 1 << 60)
    monkeypatch.setattr(doctor, "NEEDED_DISK_BYTES", 1 << 60)
    bad = [finding for finding in doctor.examine(tmp_path, quick=True) if finding.state == "bad"]
    assert {"programs", "memory", "disk"} <= {finding.name for finding in bad}
    assert all(finding.mend for finding in bad)


def test_the_last_words_of_a_log_are_picked_out_of_json(tmp_path: Path) -> None:
    path = tmp_path / "control.log"
    line = {"level": "error", "message": "cannot go on", "exception": "Traceback\n  File\nValueError: no"}
    path.write_text("plain text\n" + json.dumps(line) + "\n")
    assert start.last_words(path) == "  | plain text\n  | cannot go on ValueError: no"
    assert "no log" in start.last_words(tmp_path / "none")


def test_progress_marks_the_step_that_failed() -> None:
    out = io.StringIO()
    with pytest.raises(ValueError), Progress(out) as progress:
        with progress.step("first") as step:
            step.note = "done"
        with progress.step("second"):
            raise ValueError
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("  ok  first: done") and lines[1].startswith(" FAIL second")


def test_what_was_made_outside_is_remembered_once_and_in_order(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert made(layout) == []
    for kind, name in (("user", "bivouac"), ("link", "/x"), ("user", "bivouac")):
        remember(layout, kind, name)
    assert made(layout) == [("user", "bivouac"), ("link", "/x")]


def test_the_state_directory_has_its_folders_and_can_be_made_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "new/state")
    owner = (os.getuid(), os.getgid())
    for _ in range(2):
        make_state_directory(layout, owner)
    assert {"run", "log", "control", "objects", "agent"} <= {path.name for path in layout.state.iterdir()}
    assert (layout.state / "objects").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", [*MANDATORY, *RECOMMENDED])
def test_flavor_names_mean_what_they_say(name: str) -> None:
    fields, specs = scs_flavor(name)
    assert fields["name"] == specs["scs:name-v2"] == name
    assert specs["scs:name-v1"].replace(":", "-") == name


def test_an_scs_name_in_full() -> None:
    fields, specs = scs_flavor("SCS-2V-4-20s")
    assert fields == {"name": "SCS-2V-4-20s", "vcpus": 2, "ram": 4096, "disk": 20}
    assert specs["scs:name-v1"] == "SCS-2V:4:20s"
    assert (specs["scs:cpu-type"], specs["scs:disk0-type"]) == ("shared-core", "ssd")
    with pytest.raises(ValueError):
        scs_flavor("m1.tiny")


def test_the_pool_of_floating_addresses_leaves_the_first_ones_free() -> None:
    assert _pool("172.24.4.0/24") == ("172.24.4.10", "172.24.4.254")
    assert _pool("10.0.0.0/29") == ("10.0.0.2", "10.0.0.6")


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no", "code": 409}},
        {"conflictingRequest": {"message": "no", "code": 409}},
        {"NeutronError": {"type": "Conflict", "message": "no", "detail": ""}},
        {"message": "no"},
    ],
)
def test_a_refusal_in_any_dialect_gives_its_reason(body: object) -> None:
    assert _reason(json.dumps(body).encode()) == "no"


def test_nobody_at_home_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="does not answer"):
        ask_control(tmp_path / "none.sock", "/status")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not answers(f"http://127.0.0.1:{port}/healthz")
