"""The supervisor with small programs in place of the real ones: it starts, restarts, adopts and stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bivouac.cli.layout import Layout
from bivouac.cli.processes import Identity, belonging_to, holder_of_port, identify, read_pid_file, stop, write_pid_file
from bivouac.cli.supervisor import AlreadyRunning, Supervisor, rotate_logs

SUPERVISE = """
import sys
from pathlib import Path
from bivouac.cli.layout import Layout
from bivouac.cli.supervisor import Program, Supervisor
state = Path(sys.argv[1])
Supervisor(Layout(state), [Program("control", tuple(sys.argv[2:]))]).run()
"""


def wait_for(what: str, look: Callable[[], object]) -> object:
    deadline = time.monotonic() + 20
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what}: {seen!r}"
        time.sleep(0.01)
    return seen


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.run.mkdir()
    layout.log.mkdir()
    return layout


class Running:
    """A supervisor in a process of its own, keeping one program."""

    def __init__(self, layout: Layout, *program: str) -> None:
        self.layout = layout
        command = [sys.executable, "-c", SUPERVISE, str(layout.state), *program]
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})

    def child(self) -> Identity:
        path = self.layout.pid_file("control")
        found = wait_for("a running child", lambda: read_pid_file(path))
        assert isinstance(found, Identity)
        return found

    def status(self) -> dict:
        wait_for("a status file", self.layout.status.exists)
        return json.loads(self.layout.status.read_text())["processes"][0]


@pytest.fixture
def supervise(layout: Layout) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(*program: str) -> Running:
        running = Running(layout, *program)
        started.append(running)
        return running

    yield begin
    for running in started:
        running.process.terminate()
        running.process.wait(30)
    child = read_pid_file(layout.pid_file("control"))
    if child:
        stop([child], 1)


def test_what_is_killed_is_started_again(layout: Layout, supervise: Callable[..., Running]) -> None:
    running = supervise("sleep", "1000")
    first = running.child()
    first.send(signal.SIGKILL)
    assert first.wait(10)
    second = wait_for("another child", lambda: (c := read_pid_file(layout.pid_file("control"))) and c != first and c)
    assert isinstance(second, Identity) and second.alive
    status = running.status()
    wait_for("the status to tell", lambda: running.status()["restarts"] == 1)
    assert running.status()["last_end"] == "was killed by SIGKILL", status


def test_a_program_that_cannot_be_started_is_reported_and_tried_again(
    layout: Layout, supervise: Callable[..., Running]
) -> None:
    running = supervise("/no/such/program")
    wait_for("two tries", lambda: running.status()["restarts"] >= 2)
    assert "could not be started" in running.status()["last_end"]
    assert running.process.poll() is None


def test_stopping_ends_the_child_and_leaves_no_files(layout: Layout, supervise: Callable[..., Running]) -> None:
    running = supervise("sleep", "1000")
    child = running.child()
    running.process.terminate()
    assert running.process.wait(30) == 0
    assert not child.alive
    assert sorted(path.name for path in layout.run.iterdir()) == ["lock"]


def test_after_the_supervisor_was_killed_the_next_one_adopts_its_child(
    layout: Layout, supervise: Callable[..., Running]
) -> None:
    running = supervise("sleep", "1000")
    child = running.child()
    running.process.kill()
    running.process.wait()
    assert child.alive
    again = supervise("sleep", "1000")
    wait_for("the lock", lambda: again.status()["identity"] == {"pid": child.pid, "start_ticks": child.start_ticks})
    pid = again.process.pid
    wait_for("the new one", lambda: json.loads(layout.status.read_text())["supervisor"]["pid"] == pid)
    # An adopted process is not our child: only its handle tells of its end.
    child.send(signal.SIGKILL)
    wait_for("a restart", lambda: again.status()["restarts"] == 1)


def test_a_child_that_was_never_recorded_is_adopted_too(layout: Layout, supervise: Callable[..., Running]) -> None:
    command = ("sleep", f"1000.{os.getpid()}")
    running = supervise(*command)
    child = running.child()
    running.process.kill()
    running.process.wait()
    layout.pid_file("control").unlink()
    supervise(*command)
    wait_for("the pid file", lambda: read_pid_file(layout.pid_file("control")) == child)
    assert child.alive


def test_what_runs_a_cloud_belongs_to_it(layout: Layout) -> None:
    command = [sys.executable, "-c", "input()", "-m", "bivouac.app", "--state", str(layout.state)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        wait_for("its arguments", lambda: process.pid in [one.pid for one, _ in belonging_to(layout.state)])
        assert list(belonging_to(layout.state / "other")) == []
        process.kill()


def test_two_supervisors_do_not_share_a_state_directory(layout: Layout, supervise: Callable[..., Running]) -> None:
    supervise("sleep", "1000").child()
    with pytest.raises(AlreadyRunning):
        Supervisor(layout, [])


def test_a_reused_pid_is_never_taken_for_the_old_process(layout: Layout) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        identity = identify(process.pid)
        assert identity is not None
        impostor = Identity(identity.pid, identity.start_ticks - 1)
        path = layout.pid_file("control")
        write_pid_file(path, impostor)
        assert read_pid_file(path) is None
        assert not impostor.send(signal.SIGKILL)
        assert stop([impostor], 0.1) == []
        assert process.poll() is None
        assert stop([identity], 5) == []
    assert not identity.alive


def test_what_does_not_want_to_end_is_forced(layout: Layout) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(99)"
    command = [sys.executable, "-c", stubborn]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        identity = identify(process.pid)
        assert identity is not None
        assert stop([identity], 0.05) == [identity]
        assert process.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize("content", ["", "nonsense", "12", "1 2 3", "-5 7"])
def test_a_damaged_pid_file_names_nobody(layout: Layout, content: str) -> None:
    layout.pid_file("control").write_text(content)
    assert read_pid_file(layout.pid_file("control")) is None


def test_processes_of_a_state_directory_are_found_by_their_arguments(layout: Layout) -> None:
    layout.pid_file("x").touch()
    process = subprocess.Popen(["tail", "-f", str(layout.pid_file("x"))])
    try:
        # Right after exec a process has no arguments yet.
        wait_for("its arguments", lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes())
        assert [(identity.pid, name) for identity, name in belonging_to(layout.state)] == [(process.pid, "tail")]
        assert list(belonging_to(layout.state / "run/x/y")) == []
    finally:
        process.kill()
        process.wait()


def test_the_holder_of_a_port_is_named() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        holder = holder_of_port(server.getsockname()[1])
        assert holder is not None and holder[0] == os.getpid()


def test_logs_are_kept_below_a_size(layout: Layout) -> None:
    path = layout.log_file("control")
    with path.open("ab", buffering=0) as writer:
        for number in range(6):
            writer.write(b"%d" % number * 100)
            rotate_logs(layout, max_bytes=100)
    names = sorted(path.name for path in layout.log.iterdir())
    assert names == ["control.log", "control.log.1", "control.log.2", "control.log.3"]
    assert path.stat().st_size == 0
    assert layout.log_file("control").with_suffix(".log.1").read_bytes() == b"5" * 100
