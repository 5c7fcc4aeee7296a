"""Asking control for bearers: over a real socket, remembered for a bounded time, one question for many who wait.

What revocations do is tested with the real identity service in tests/api/identity/test_revocation_reaches_objects.py.
"""

import asyncio
import json

import pytest

from bivouac.core.sequence import Sequence
from bivouac.objects.identity import Identity, Unavailable

CALLER = {"user_id": "u", "user_name": "ann", "project_id": "p", "roles": ["member"], "access_rules": None}


class Control:
    """Answers as control does on its internal socket, and counts the questions."""

    def __init__(self):
        self.questions = []
        self.good = {
            "/bearers/token": {"caller": CALLER, "subjects": ["u"]},
            "/bearers/access-key/AK": {"caller": CALLER, "secret": "s"},
        }

    async def answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        self.questions.append(path)
        token = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2]).get("X-Subject-Token", "good")
        body = json.dumps(self.good.get(path, {})).encode()
        status = "200 OK" if token == "good" and path in self.good else "404 Not Found"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        writer.close()


def test_answers_are_remembered_until_forgotten(tmp_path):
    async def main():
        control, path = Control(), str(tmp_path / "s")
        server = await asyncio.start_unix_server(control.answer, path)
        sequence = Sequence(tmp_path / "forgotten", writable=True)
        identity = Identity(path, tmp_path / "forgotten")
        callers = await asyncio.gather(*(identity.authenticate("good") for _ in range(10)))
        assert {caller.user_name for caller in callers} == {"ann"}
        assert callers[0].roles == frozenset({"member"})
        assert len(control.questions) == 1
        await identity.authenticate("good")
        assert len(control.questions) == 1
        control.good["/bearers/forgotten/0"] = {"number": sequence.rise(), "subjects": ["u"]}
        await identity.authenticate("good")
        assert control.questions[1:] == ["/bearers/forgotten/0", "/bearers/token"]
        assert await identity.authenticate("bad") is None
        assert await identity.authenticate("bad") is None
        assert await identity.authenticate("bad\r\nX: y") is None
        assert len(control.questions) == 5
        assert (await identity.ec2_credential("AK"))[0] == "s"
        assert await identity.ec2_credential("../token") is None
        server.close()

    asyncio.run(main())


def test_an_answer_ages(tmp_path):
    async def main():
        control, path = Control(), str(tmp_path / "s")
        server = await asyncio.start_unix_server(control.answer, path)
        Sequence(tmp_path / "forgotten", writable=True)
        identity = Identity(path, tmp_path / "forgotten", lifetime_s=0, patience_s=0)
        await identity.authenticate("good")
        control.good.clear()
        assert await identity.authenticate("good") is None
        server.close()
        await server.wait_closed()
        with pytest.raises(Unavailable):
            await identity.authenticate("good")

    asyncio.run(main())


def test_nothing_is_remembered_where_revocations_cannot_be_seen(tmp_path):
    async def main():
        control, path = Control(), str(tmp_path / "s")
        server = await asyncio.start_unix_server(control.answer, path)
        identity = Identity(path, tmp_path / "forgotten")
        await identity.authenticate("good")
        await identity.authenticate("good")
        assert len(control.questions) == 2
        server.close()

    asyncio.run(main())
