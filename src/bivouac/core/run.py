"""The only place that starts other programs: argument lists, a deadline, captured output, never a shell."""

import os
import resource
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct


class Limits(Struct, frozen=True):
    """Bounds of a child process (setrlimit(2)); 0 leaves one as it is. `user` runs it as that uid and gid."""

    address_space_bytes: int = 0
    cpu_seconds: int = 0
    file_bytes: int = 0
    user: tuple[int, int] | None = None

    def apply(self) -> None:
        """Called in the child between fork and exec."""
        for kind, value in (
            (resource.RLIMIT_AS, self.address_space_bytes),
            (resource.RLIMIT_CPU, self.cpu_seconds),
            (resource.RLIMIT_FSIZE, self.file_bytes),
        ):
            if value:
                resource.setrlimit(kind, (value, value))
        if self.user and os.geteuid() == 0:
            os.setgroups([])
            os.setgid(self.user[1])
            os.setuid(self.user[0])


class CommandError(Exception):
    """A program could not be started (`status` is a shell's: 126 not executable, 127 not found), failed, or ran past
    its deadline."""

    def __init__(self, command: Sequence[str], status: int | None, output: str):
        shown = " ".join(command[:4]) + (" ..." if len(command) > 4 else "")
        known: dict[int | None, str] = {126: "cannot be executed", 127: "not found", None: "ran too long"}
        what = known.get(status, f"ended with status {status}")
        super().__init__(f"{shown}: {what}: {output.strip()[-600:]}")
        self.command = tuple(command)
        self.status = status
        self.output = output


def _environment(env: Mapping[str, str] | None, limits: Limits | None) -> dict[str, str] | None:
    """Ours and what is added. Where addresses are few, threads share one heap: glibc reserves 128 MiB for each of
    their own, so that every tenth qemu-img could start no further thread."""
    few = {"MALLOC_ARENA_MAX": "1"} if limits is not None and limits.address_space_bytes else {}
    return {**os.environ, **few, **(env or {})} if env is not None or few else None


def run(
    command: Sequence[str],
    *,
    timeout_s: float = 60.0,
    input: bytes | None = None,
    limits: Limits | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    pass_fds: Sequence[int] = (),
    check: bool = True,
) -> subprocess.CompletedProcess[bytes]:
    """Run to the end and return its output. Raises CommandError (with the end of standard error)."""
    try:
        done = subprocess.run(
            command,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            timeout=timeout_s,
            env=_environment(env, limits),
            cwd=cwd,
            pass_fds=pass_fds,
            preexec_fn=limits.apply if limits else None,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise CommandError(command, 127 if isinstance(error, FileNotFoundError) else 126, str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(command, None, f"after {timeout_s} s") from error
    if check and done.returncode:
        raise CommandError(command, done.returncode, done.stderr.decode(errors="replace"))
    return done


async def run_async(command: Sequence[str], **options: object) -> subprocess.CompletedProcess[bytes]:
    """`run` in a thread."""
    # Imported here, as the command line wants `start_time` alone within a few milliseconds.
    import asyncio

    return await asyncio.to_thread(lambda: run(command, **options))  # type: ignore[arg-type]


def spawn(
    command: Sequence[str],
    *,
    log: Path | None = None,
    limits: Limits | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    cwd: Path | str | None = None,
) -> subprocess.Popen[bytes]:
    """Start a daemon in a session of its own, so that it outlives us; output is appended to `log`."""
    output = open(log, "ab") if log else subprocess.DEVNULL  # noqa: SIM115 - handed to the child
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=_environment(env, limits),
            pass_fds=pass_fds,
            cwd=cwd,
            preexec_fn=limits.apply if limits else None,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise CommandError(command, 127 if isinstance(error, FileNotFoundError) else 126, str(error)) from error
    finally:
        if not isinstance(output, int):
            output.close()


def start_time(pid: int) -> int | None:
    """Start of the process in clock ticks since boot (proc(5), field 22): with the pid it names a process for ever.
    None when there is no such process, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
