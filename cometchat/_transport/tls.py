"""TLS for the WebSocket, as strict as for HTTP: certificates and host names are checked, TLS is 1.2 or newer."""

from __future__ import annotations

import functools
import os
import ssl
from typing import Union

import certifi

from ..exceptions import WS_CONNECTION_FAIL, exception_for


@functools.lru_cache(maxsize=8)
def client_context(verify: Union[bool, str]) -> ssl.SSLContext:
    """The context for a CA bundle; kept, since reading certifi's takes some 20 ms.

    :param verify: path of a bundle file or folder; True for certifi's, which comes with requests.
    :raises CometChatException: ``WS_CONNECTION_FAIL``: the bundle can't be read.
    """
    path = verify if isinstance(verify, str) else certifi.where()
    try:
        if os.path.isdir(path):
            context = ssl.create_default_context(capath=path)
        else:
            context = ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        raise exception_for(WS_CONNECTION_FAIL, f"TLS: the CA bundle {path!r} can't be read: {error}.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
