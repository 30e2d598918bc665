"""Reads the head of an HTTP answer (a proxy's to CONNECT, a server's to the upgrade), and the times in headers."""

from __future__ import annotations

import re
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Tuple

#: Maximum size of the head of an HTTP answer (to CONNECT or to the upgrade), in bytes.
MAX_HEAD = 65_536

_EMPTY_LINE = re.compile(rb"\n\r?\n")

#: Maximum wait that a server may ask for, in seconds. A longer one is reduced to this.
LONGEST_RETRY_AFTER = 3600.0


class BadAnswer(Exception):
    """The peer's answer is not the one that the client needs, or is not of the protocol. The text has the reason."""


class Head(NamedTuple):
    """The head of an HTTP answer.

    :ivar headers: by their lower-case names.
    """

    status: int
    headers: Dict[str, str]

    def requested_wait(self, now: float) -> Optional[float]:
        """Return the seconds for which the server asks clients to wait; see :func:`requested_wait`."""
        return requested_wait(self.headers, now, limited=self.status == 429)


class Refused(Exception):
    """An HTTP answer with an unexpected status."""

    def __init__(self, head: Head) -> None:
        super().__init__(f"HTTP {head.status}")
        self.head = head


def read_head(take: Callable[..., bytes]) -> Head:
    """Read the head of an HTTP answer, and no byte after it. Skips interim answers such as 103 Early Hints.

    :param take: see :meth:`BufferedStream.take`.
    :raises BadAnswer: it is not HTTP, is too long, or ends too early.
    """
    left = MAX_HEAD
    while True:
        raw = bytearray()
        while not raw.endswith((b"\n\r\n", b"\n\n")):
            part = take(_part_of_head, raw)
            if not part:
                raise BadAnswer("it closed the connection")
            raw += part
            left -= len(part)
            if left < 0:
                raise BadAnswer(f"its head has more than {MAX_HEAD} bytes")
        head = _parse_head(raw)
        if not 100 <= head.status < 200 or head.status == 101:
            return head


def _part_of_head(buffer: bytes, place: int, before: bytearray) -> Tuple[bytes, int]:
    """Return the bytes up to the end of the head, or all if it has not arrived, and the position after them. Pure.

    :param before: the earlier bytes of the head.
    """
    before = before[-2:]  # an empty line may begin there
    found = _EMPTY_LINE.search(before + buffer[place:])
    end = len(buffer) if found is None else place + found.end() - len(before)
    return buffer[place:end], end


def _parse_head(raw: bytearray) -> Head:
    # A line that begins with white space continues the header before it (RFC 9112, 5.2).
    first, *lines = re.sub(r"\r?\n[ \t]+", " ", raw.decode("latin-1")).split("\n")
    status = re.match(r"HTTP/1\.[0-9] +([1-9][0-9]{2})(?:\s|$)", first)
    if status is None:
        raise BadAnswer("it does not use HTTP")
    headers: Dict[str, str] = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if separator:
            name = name.strip().lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return Head(int(status.group(1)), headers)


def requested_wait(headers: Mapping[str, str], now: float, *, limited: bool) -> Optional[float]:
    """Return the seconds for which a server asks clients to wait; None if it does not ask.

    Times count from the answer's ``Date``, because this machine's clock may be wrong.

    :param headers: of an HTTP answer; ``get`` must find lower-case names.
    :param now: Unix seconds, for an answer without a ``Date``.
    :param limited: whether the answer refuses a request over the rate limit. Then ``X-Rate-Limit-Reset`` counts too.
    """
    date = http_date(headers.get("date", ""))
    began = now if date is None else date
    asked = retry_after_seconds(headers.get("retry-after"), began)
    reset = headers.get("x-rate-limit-reset", "").strip() if limited else ""
    if asked is not None or not (reset.isascii() and reset.isdigit()):
        return asked
    return min(max(float(reset[:15]) - began, 0.0), LONGEST_RETRY_AFTER)


def retry_after_seconds(value: Optional[str], now: float) -> Optional[float]:
    """Read a ``Retry-After`` header: seconds or an HTTP date. Returns None for an invalid or missing value.

    :param now: Unix seconds, for a date.
    :returns: seconds, 0 to 3600.
    """
    if not value:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):  # HTTP allows no fraction, but some servers send one
        seconds = float(value[:9])
    else:
        date = http_date(value)
        if date is None:
            return None
        seconds = date - now
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def http_date(value: str) -> Optional[float]:
    """Read an HTTP date as Unix seconds. Returns None for an invalid date."""
    try:
        date = parsedate_to_datetime(value)
        # One of the three formats of RFC 9110 has no zone. All are in UTC.
        return (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
