"""Converts errors of the operating system and of the two libraries to this SDK's messages.

A library's message is not passed on if it may quote headers or bodies, since these can contain a credential. The
exception itself stays attached as ``__cause__``.
"""

from __future__ import annotations

import errno
import http.client
import os
import socket
import ssl
from typing import Optional

from ..._proxy_address import BadProxy
from .._exception_chain import exception_chain
from .._printable import printable
from ._stream import TIMEOUTS
from ._tls import BadTlsFile, tls_ended


class DialFailed(OSError):
    """No connection to the host, or no tunnel through its proxy. The cause is attached.

    :ivar reason: one sentence that names the host and the proxy.
    :ivar status: HTTP status of the proxy's answer.
    :ivar retry_after: seconds that the proxy asked for.
    """

    def __init__(
        self, reason: str, *, status: Optional[int] = None, retry_after: Optional[float] = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after


def system_error(code: int) -> OSError:
    """Return the exception for an error code of a socket.

    On Windows ``os.strerror`` has no text for these codes.
    """
    texts = getattr(socket, "errorTab", {})  # only on Windows
    return OSError(code, texts.get(code, "").rstrip(".") or os.strerror(code))


def network_reason(error: BaseException, host: str) -> str:
    """Describe a network error in one sentence, such as ``connection refused by localhost:8080``.

    :param error: the error. Its causes are searched too, because libraries wrap the informative one.
    :param host: ``name:port``, for the sentence.
    """
    for cause in exception_chain(error):
        reason = _tls_reason(cause, host) or _system_reason(cause, host) or _http_reason(cause, host)
        if reason is not None:
            return printable(reason)
    return f"connection to {host} failed ({type(error).__name__})"


def is_timeout(error: BaseException) -> bool:
    """Return True if the first informative cause is a timeout."""
    return network_reason(error, "").startswith("timeout")


def has_no_address(error: BaseException) -> bool:
    """Return True if the cause is a host name without an address."""
    return any(isinstance(cause, socket.gaierror) for cause in exception_chain(error))


def _tls_reason(cause: BaseException, host: str) -> Optional[str]:
    if isinstance(cause, BadTlsFile):
        return f"TLS: {cause}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = getattr(cause, "verify_message", None)  # OpenSSL's errors have one, errors raised in Python do not
        return f"TLS: the certificate of {host} is not trusted: {why or 'verification failed'}"
    if type(cause).__name__ == "CertificateError":  # from urllib3 1.26, which compares the names itself
        return f"TLS: the certificate of {host} is not trusted: {cause}"
    if isinstance(cause, ssl.SSLError):
        return f"TLS: the connection to {host} failed: {_handshake_reason(cause)}"
    return None


def _handshake_reason(cause: ssl.SSLError) -> str:
    if tls_ended(cause):
        return "the peer closed it"
    reason: Optional[str] = getattr(cause, "reason", None)
    if reason == "WRONG_VERSION_NUMBER":  # OpenSSL's word for an answer in plain text, such as of an http:// port
        return f"the peer does not use TLS ({reason})"
    return reason or "the peer does not use TLS"


def _system_reason(cause: BaseException, host: str) -> Optional[str]:
    if isinstance(cause, DialFailed):
        return cause.reason
    if isinstance(cause, BadProxy):
        return f"proxy: {cause}"
    if isinstance(cause, socket.gaierror):
        return f"DNS: no address for {host}: {cause.strerror or 'lookup failed'}"
    if isinstance(cause, UnicodeError) and ("idna" in str(cause) or "label" in str(cause)):  # or another text
        return f"DNS: {host} is not the name of a host"
    if isinstance(cause, ConnectionRefusedError):
        return f"connection refused by {host}"
    if isinstance(cause, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
        return f"{host} reset the connection"
    # On Windows, older Pythons have no class for this code.
    if isinstance(cause, TIMEOUTS) or (isinstance(cause, OSError) and cause.errno == errno.ETIMEDOUT):
        return f"timeout: no answer from {host}"
    if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
        return f"network: {cause.strerror} ({host})"
    return None


def _http_reason(cause: BaseException, host: str) -> Optional[str]:
    name = type(cause).__name__  # some of these are classes of requests and urllib3
    if name == "InvalidURL":  # requests judges some names before the lookup, such as one that begins with a dot
        return f"DNS: {host} is not the name of a host"
    # The length of a chunk that is missing, in urllib3 before 2.
    ended = name == "InvalidChunkLength" and not getattr(cause, "length", None)
    if ended or name == "IncompleteRead" or (name == "ProtocolError" and "prematurely" in str(cause)):
        return f"{host} closed the connection before its answer was complete"
    if isinstance(cause, http.client.HTTPException) or name == "InvalidHeader":
        return f"{host} sent an answer that is not HTTP"
    return None
