"""Errors of the operating system and of the two libraries, put in this SDK's words: once, here.

The libraries' own texts are not passed on where they may quote headers or bodies: those can hold a credential. The
exception itself stays attached as ``__cause__``.
"""

from __future__ import annotations

import socket
import ssl
from email.utils import parsedate_to_datetime
from typing import Iterator, Optional

#: Seconds. A server that asks for more quiet than this is taken to ask for this much.
LONGEST_RETRY_AFTER = 3600.0


def network_reason(error: BaseException, host: str) -> str:
    """One sentence on what the network did, such as ``connection refused by localhost:8080``.

    :param error: looked at with all its causes, since libraries wrap the one that tells.
    :param host: ``name:port``, for the sentence.
    """
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: the certificate of {host} is not trusted: {cause.verify_message or 'verification failed'}"
        if isinstance(cause, socket.gaierror):
            return f"DNS: no address for {host}: {cause.strerror or 'lookup failed'}"
        if isinstance(cause, ConnectionRefusedError):
            return f"connection refused by {host}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS: the handshake with {host} failed: {cause.reason or 'the peer speaks no TLS'}"
        if isinstance(cause, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
            return f"{host} reset the connection"
        if isinstance(cause, TimeoutError) or isinstance(cause, socket.timeout):
            return f"timeout: no answer from {host}"
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return f"network: {cause.strerror} ({host})"
    return f"connection to {host} failed ({type(error).__name__})"


def retry_after_seconds(value: Optional[str], now: float) -> Optional[float]:
    """Read a ``Retry-After`` header: seconds or an HTTP date. None where there is none, or nonsense.

    :param now: Unix seconds, for a date.
    :returns: seconds, 0 to 3600.
    """
    if not value:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        seconds = float(value[:9])
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (TypeError, ValueError, OverflowError, IndexError):
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: causes, contexts, and exceptions that libraries pass as arguments or ``reason``."""
    seen = set()
    todo = [error]
    while todo:
        current = todo.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (*current.args, getattr(current, "reason", None), current.__cause__, current.__context__)
        todo.extend(item for item in inner if isinstance(item, BaseException))
