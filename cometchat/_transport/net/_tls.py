"""TLS for the WebSocket, as strict as for HTTP: certificates and host names are checked, TLS is 1.2 or newer."""

from __future__ import annotations

import functools
import os
import ssl
from typing import Union

import certifi

#: Where Python has no reason of OpenSSL's: the end of the connection, in the handshake or after it. A reset, too.
ENDS = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


class BadBundle(ValueError):
    """A CA bundle that can't be read."""


def client_context(verify: Union[bool, str]) -> ssl.SSLContext:
    """The context for a CA bundle; kept until the file changes, since reading certifi's takes some 20 ms.

    :param verify: path of a bundle file or folder; True for certifi's, which comes with requests.
    :raises BadBundle: it can't be read.
    """
    path = verify if isinstance(verify, str) else certifi.where()
    try:
        return _context(path, os.stat(path).st_mtime_ns)
    except (OSError, ValueError) as error:
        raise BadBundle(f"the CA bundle {path!r} can't be read: {error}") from error


@functools.lru_cache(maxsize=8)
def _context(path: str, _: int) -> ssl.SSLContext:
    if os.path.isdir(path):
        context = ssl.create_default_context(capath=path)
    else:
        context = ssl.create_default_context(cafile=path)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
