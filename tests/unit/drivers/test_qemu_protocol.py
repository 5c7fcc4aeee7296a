"""QMP as bytes: no socket here."""

import pytest

from bivouac.drivers.hypervisor.qemu.protocol import MAX_LINE_BYTES, Conversation, Event, Greeting, ProtocolError, Reply

GREETING = b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}}}\r\n'


def test_a_conversation_in_pieces_of_any_size() -> None:
    stream = GREETING + b'{"return": {}, "id": 1}\r\n{"event": "STOP", "timestamp": {"seconds": 1}}\r\n'
    stream += b'{"id": 2, "error": {"class": "DeviceNotFound", "desc": "no such device"}}\r\n'
    wanted = [
        Greeting((7, 2, 22)),
        Reply(1, {}),
        Event("STOP", {}),
        Reply(2, None, "no such device", "DeviceNotFound"),
    ]
    for size in (1, 7, 64, len(stream)):
        conversation = Conversation()
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [message for piece in pieces for message in conversation.feed(piece)] == wanted


def test_commands_have_their_own_ids() -> None:
    conversation = Conversation()
    assert conversation.command("query-status") == (1, b'{"execute":"query-status","id":1}\n')
    assert conversation.command("x", {"node-name": "a"}) == (
        2,
        b'{"execute":"x","id":2,"arguments":{"node-name":"a"}}\n',
    )


@pytest.mark.parametrize("line", [b"hello\n", b"[1]\n", b"\xff\xfe\n", b'{"QMP": 3}\n', b'{"error": 1}\n', b"{}\n"])
def test_what_is_not_qmp(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        Conversation().feed(line)


def test_an_endless_line_is_given_up() -> None:
    with pytest.raises(ProtocolError):
        Conversation().feed(b"x" * (MAX_LINE_BYTES + 1))
