"""The guest agent inside a server, over its virtio-serial channel. One short connection per question.

The agent speaks JSON lines and may have old answers in its pipe, so each talk begins with a delimited sync
(QEMU guest agent protocol reference, `guest-sync-delimited`).
"""

import asyncio
import base64
import contextlib
import random
from pathlib import Path
from typing import Any

import msgspec

from bivouac.drivers.hypervisor import DriverError

from .monitor import connect_unix

SILENT = "The guest agent does not answer: it is not installed in the server, or not running yet."


async def ask(channel: Path, command: str, arguments: dict[str, Any] | None = None, timeout_s: float = 10.0) -> Any:
    """The agent's answer. Raises DriverError when there is none, or the agent refuses."""
    try:
        connection = connect_unix(channel)
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=1 << 20)
    except OSError as error:
        raise DriverError(SILENT, str(error)) from error
    try:
        async with asyncio.timeout(timeout_s):
            number = random.getrandbits(31)
            sync = {"execute": "guest-sync-delimited", "arguments": {"id": number}}
            writer.write(b"\xff" + msgspec.json.encode(sync) + b"\n")
            while True:
                await reader.readuntil(b"\xff")
                if msgspec.json.decode(await reader.readline(), type=dict[str, Any]).get("return") == number:
                    break
            writer.write(msgspec.json.encode({"execute": command, "arguments": arguments or {}}) + b"\n")
            answer = msgspec.json.decode(await reader.readline(), type=dict[str, Any])
    except (TimeoutError, OSError, EOFError, ValueError, msgspec.DecodeError) as error:
        raise DriverError(SILENT, f"{command}: {type(error).__name__} {error}") from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if "error" in answer:
        raise DriverError("The guest agent refused.", f"{command}: {answer['error']}")
    return answer.get("return")


async def set_password(channel: Path, user: str, password: str) -> None:
    """Change a user's password in the guest. Raises DriverError."""
    encoded = base64.b64encode(password.encode()).decode()
    await ask(channel, "guest-set-user-password", {"username": user, "password": encoded, "crypted": False})
