"""TLS for the WebSocket and HTTP: checks certificates and host names, requires TLS 1.2 or newer."""

from __future__ import annotations

import functools
import os
import ssl
import sys
from typing import Optional, Tuple, Union

#: A file with the client's certificate and key, or a pair of files.
ClientCert = Union[str, Tuple[str, str]]


class BadTlsFile(ValueError):
    """The CA bundle, the client certificate or the key log can't be used. The text says which one, and why."""


def tls_ended(error: BaseException) -> bool:
    """Return True if this error means that the connection under TLS ended or was reset.

    Its class depends on the versions of Python and OpenSSL. From OpenSSL 3.5 on it may be a plain SSLError of the
    library "SYS", or an SSLError whose reason is the unexpected end.
    """
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return True
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLCertVerificationError):
        return False
    return getattr(error, "library", None) == "SYS" or getattr(error, "reason", None) in (
        "UNEXPECTED_EOF_WHILE_READING",
        "PROTOCOL_IS_SHUTDOWN",
    )


def client_context(ca_bundle: str, client_cert: Optional[ClientCert] = None) -> ssl.SSLContext:
    """Return the context for a CA bundle. It is cached until a file changes: reading a large bundle takes 20 ms.

    :param ca_bundle: path of a file or folder.
    :raises BadTlsFile: a file can't be used.
    """
    files = () if client_cert is None else (client_cert,) if isinstance(client_cert, str) else client_cert
    try:
        versions = tuple(os.stat(each).st_mtime_ns for each in files)
    except (OSError, ValueError) as error:
        raise _bad_client_cert(files, error) from error
    try:
        version = os.stat(ca_bundle).st_mtime_ns
        return _context(ca_bundle, version, files, versions)
    except BadTlsFile:
        raise
    except (OSError, ValueError) as error:
        raise BadTlsFile(f"the CA bundle {ca_bundle!r} can't be read: {error}") from error


def strict_context() -> ssl.SSLContext:
    """Return a context that trusts no certificate yet. It has the other settings of ``ssl.create_default_context``.

    :raises BadTlsFile: the key log of the environment can't be written.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificates and host names
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    if hasattr(context, "post_handshake_auth"):
        context.post_handshake_auth = True  # with TLS 1.3 a server may ask for the client's certificate later
    key_log = os.environ.get("SSLKEYLOGFILE")
    if key_log and not sys.flags.ignore_environment and hasattr(context, "keylog_filename"):
        try:
            context.keylog_filename = key_log
        except (OSError, ValueError) as error:
            raise BadTlsFile(f"the key log {key_log!r} of SSLKEYLOGFILE can't be written: {error}") from error
    return context


@functools.lru_cache(maxsize=8)
def _context(ca_bundle: str, _: int, client_cert: Tuple[str, ...], versions: Tuple[int, ...]) -> ssl.SSLContext:
    context = strict_context()
    if os.path.isdir(ca_bundle):
        context.load_verify_locations(capath=ca_bundle)
    else:
        context.load_verify_locations(cafile=ca_bundle)
    if client_cert:
        try:
            # A key with a passphrase is refused: OpenSSL would ask for it on the terminal.
            key = client_cert[1] if len(client_cert) > 1 else None
            context.load_cert_chain(client_cert[0], key, _no_passphrase)
        except (OSError, ValueError) as error:
            raise _bad_client_cert(client_cert, error) from error
    return context


def _no_passphrase() -> str:
    raise ValueError("its key has a passphrase: use a key without one")


def _bad_client_cert(files: Tuple[str, ...], error: BaseException) -> BadTlsFile:
    why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return BadTlsFile(f"the client certificate {', '.join(map(repr, files))} can't be used: {why}")
