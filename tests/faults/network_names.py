"""The server's host: a name server that gives every name the same address.

network_names.py ADDRESS
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
from typing import Optional

from network_program import obey, say

A, IN = 1, 1


def answer(question: bytes, address: str) -> Optional[bytes]:
    """Return the answer to a question for one name: the address. For other kinds of addresses, the answer is empty."""
    if len(question) < 17:
        return None
    end = question.index(0, 12) + 5
    kind, family = struct.unpack_from("!HH", question, end - 4)
    found = (kind, family) == (A, IN)
    head = question[:2] + struct.pack("!HHHHH", 0x8580, 1, int(found), 0, 0)
    # The question's name, by its position. The time to live is 0, so that each look-up has to ask.
    record = struct.pack("!HHHIH", 0xC00C, A, IN, 0, 4) + socket.inet_aton(address) if found else b""
    return head + question[12:end] + record


def serve(server: socket.socket, address: str) -> None:
    """Answer until the program ends."""
    while True:
        question, asker = server.recvfrom(4096)
        reply = answer(question, address)
        if reply is not None:
            server.sendto(reply, asker)


def main(address: str) -> None:
    """Answer until the input ends."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    threading.Thread(target=serve, args=(server, address), name="names", daemon=True).start()
    say("ready")
    obey({})


if __name__ == "__main__":
    main(sys.argv[1])
