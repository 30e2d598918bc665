"""Errors of the operating system and of the two libraries, put in this SDK's words: once, here.

The libraries' own texts are not passed on where they may quote headers or bodies: those can hold a credential. The
exception itself stays attached as ``__cause__``.
"""

from __future__ import annotations

import socket
import ssl
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Optional

from .._exception_chain import exception_chain
from ._proxy import BadProxy
from ._tls import ENDS, BadBundle

#: Seconds. A server that asks for more quiet than this is taken to ask for this much.
LONGEST_RETRY_AFTER = 3600.0


def network_reason(error: BaseException, host: str) -> str:
    """One sentence on what the network did, such as ``connection refused by localhost:8080``.

    :param error: looked at with all its causes, since libraries wrap the one that tells.
    :param host: ``name:port``, for the sentence.
    """
    for cause in exception_chain(error):
        reason = _tls_reason(cause, host) or _system_reason(cause, host)
        if reason is not None:
            return reason
    return f"connection to {host} failed ({type(error).__name__})"


def _tls_reason(cause: BaseException, host: str) -> Optional[str]:
    if isinstance(cause, BadBundle):
        return f"TLS: {cause}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = getattr(cause, "verify_message", None)  # OpenSSL's errors have one, those made in Python have not
        return f"TLS: the certificate of {host} is not trusted: {why or 'verification failed'}"
    if type(cause).__name__ == "CertificateError":  # of urllib3 1.26, which compares the names by itself
        return f"TLS: the certificate of {host} is not trusted: {cause}"
    if isinstance(cause, ssl.SSLError):
        why = getattr(cause, "reason", None)
        if not why:
            why = "the peer ended it" if isinstance(cause, ENDS) else "the peer speaks no TLS"
        return f"TLS: the connection to {host} failed: {why}"
    return None


def _system_reason(cause: BaseException, host: str) -> Optional[str]:
    if isinstance(cause, BadProxy):
        return f"proxy: {cause}"
    if isinstance(cause, socket.gaierror):
        return f"DNS: no address for {host}: {cause.strerror or 'lookup failed'}"
    if isinstance(cause, UnicodeError) and ("idna" in str(cause) or "label" in str(cause)):  # by Python's version
        return f"DNS: {host} is no name of a host"
    if isinstance(cause, ConnectionRefusedError):
        return f"connection refused by {host}"
    if isinstance(cause, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
        return f"{host} reset the connection"
    if isinstance(cause, (TimeoutError, socket.timeout)):
        return f"timeout: no answer from {host}"
    if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
        return f"network: {cause.strerror} ({host})"
    return None


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
            date = parsedate_to_datetime(value)
            # One of the three forms of RFC 9110 names no zone. All are in UTC.
            seconds = (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp() - now
        except (TypeError, ValueError, OverflowError, IndexError):
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
