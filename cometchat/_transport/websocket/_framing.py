"""Bytes of WebSocket frames, read. Pure: no I/O, and no library.

Frames that are in the buffer already, whole, and of the plain kind, are read in one go.
What is anything else, a control frame, a fragment, one that is masked, over the limit or not complete, ends the row,
and is left to websocket-client's parser, with its checks.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

#: The first byte of a text frame that is a whole message, without reserved bits.
_TEXT = 0x81

#: Of the second: from here on it is no length, but says how long the length is, or that the frame is masked.
_LONGER = 126


def whole_texts(buffer: bytes, place: int, limit: int) -> Tuple[List[bytes], int]:
    """The payloads of the frames from ``place`` on, and the place behind them.

    :param limit: bytes of a payload.
    """
    found: List[bytes] = []
    end = len(buffer)
    while place + 2 <= end and buffer[place] == _TEXT:
        begin, length = place + 2, buffer[place + 1]
        if length >= _LONGER:
            begin += 2
            if length > _LONGER or begin > end:
                break
            length = buffer[place + 2] << 8 | buffer[place + 3]
        if begin + length > end or length > limit:
            break
        place = begin + length
        found.append(buffer[begin:place])
    return found, place


def close_code(data: bytes) -> Tuple[Optional[int], str]:
    """The code and the reason in a close frame's payload."""
    if len(data) < 2:
        return None, ""
    return int.from_bytes(data[:2], "big"), data[2:].decode("utf-8", "replace")
