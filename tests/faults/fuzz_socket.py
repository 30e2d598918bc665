"""A fuzz target: bytes from a server on an open WebSocket, with frame headers, or as an answer to an upgrade."""

from __future__ import annotations

import socket
import time
from typing import List

from cometchat import CometChatException
from cometchat._transport.net import BadAnswer, BufferedStream, Head, read_head
from cometchat._transport.net._http_head import MAX_HEAD
from cometchat._transport.websocket import WebSocketClientSocket
from cometchat._transport.websocket._socket import _FrameBuffer

from .fuzz_values import Draw, check

LIMIT = 2048

#: Seconds after which every byte has been read.
SOON = 5.0


def open_socket() -> "tuple[WebSocketClientSocket, socket.socket]":
    """Return a WebSocket after its upgrade, and its peer."""
    mine, peer = socket.socketpair()
    client = WebSocketClientSocket(proxies=None, ca_certs=None, max_message_size=LIMIT)
    client._stream = stream = BufferedStream(mine)
    client._frames = _FrameBuffer(stream, LIMIT)
    client._upgraded = True
    return client, peer


def receive_all(wire: bytes) -> None:
    """Read a server's bytes to the end, one message at a time, and all available ones at once.

    The messages are the same.
    """
    assert receive(wire, burst=False) == receive(wire, burst=True)


def receive(wire: bytes, *, burst: bool) -> List[bytes]:
    """Return the messages up to the error that ends them."""
    client, peer = open_socket()
    came: List[bytes] = []
    with peer:
        peer.sendall(wire)
        peer.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + SOON
        try:
            while True:
                messages = client.receive(deadline, only_one=not burst)
                assert messages, "the end was not seen"
                came += messages
                assert all(len(message) <= LIMIT for message in came)
        except CometChatException as error:
            check(error)
            assert error.code in ("WS_CONNECTION_FAIL", "ERR_PROTOCOL")
        finally:
            client.close()
    return came


def read_answer(wire: bytes) -> None:
    """Read the head of an answer. It is valid, or a refusal."""
    mine, peer = socket.socketpair()
    with mine, peer:
        peer.sendall(wire)
        peer.shutdown(socket.SHUT_WR)
        try:
            head = read_head(BufferedStream(mine).take)
        except BadAnswer as error:
            assert str(error)
            return
    assert isinstance(head, Head) and 100 <= head.status <= 999
    assert sum(len(name) + len(value) for name, value in head.headers.items()) <= MAX_HEAD


def wire_of(draw: Draw) -> bytes:
    """Return frames whose headers are nearly right."""
    wire = b""
    for _ in range(draw.byte() % 12):
        first = draw.pick([0x81, 0x01, 0x00, 0x80, 0x82, 0x89, 0x8A, 0x88, 0x83, 0xC1, 0x09])
        payload = bytes([draw.byte()]) * draw.pick([0, 1, 2, 5, 125, 126, 300, LIMIT - 1, LIMIT, LIMIT + 1])
        length = len(payload) if draw.byte() % 8 else draw.pick([0, 1, 2**16, 2**31, 2**63, 2**64 - 1])
        wire += bytes([first]) + _length(length, draw.byte() % 5, masked=draw.byte() % 16 == 15) + payload
    return wire


def _length(length: int, form: int, *, masked: bool) -> bytes:
    bit = 0x80 if masked else 0
    if form == 0 and length < 2**16:  # a longer form than necessary
        return bytes([bit | 126]) + length.to_bytes(2, "big")
    if form == 1 or length >= 2**16:
        return bytes([bit | 127]) + length.to_bytes(8, "big")
    return bytes([bit | length]) if length < 126 else bytes([bit | 126]) + length.to_bytes(2, "big")


def one_input(data: bytes) -> None:
    """Check any bytes: messages within the limit are returned, and at the end the one error with the reason."""
    draw = Draw(data)
    kind = draw.byte() % 3
    if kind == 0:
        receive_all(draw.rest())
    elif kind == 1:
        receive_all(wire_of(draw))
    else:
        read_answer(draw.rest())


#: Inputs to begin with.
SEEDS = [
    b"\x00\x81\x05hello\x89\x00\x88\x02\x03\xe8",
    b"\x00\x01\x01a\x00\x01b\x80\x01c",
    b"\x01" + bytes(range(200)),
    b"\x02HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX: a\r\nX: b\r\n\r\n",
]
