"""Probes the network below a client, to judge each layer: DNS, TCP, TLS.

The proxy, the order of a host's addresses, the trusted certificates and the rules of TLS are those of the client.
"""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import socket
import ssl
import threading
import time
from datetime import datetime, timezone
from typing import Any, List, Mapping, Optional, Union
from urllib.parse import urlsplit

from cometchat._transport.net import (
    TIMEOUTS,
    Address,
    BadProxy,
    BadTlsFile,
    Connector,
    client_context,
    look_up,
    resolve_route,
)

_DAY = 86_400.0


class Skipped(Exception):
    """The step does not apply. The text has the reason."""


class Problem(Exception):
    """A layer does not work. The text is worded like the SDK's network errors."""


class HostCheck:
    """One host of the service. Call ``dns``, ``tcp`` and ``tls`` in this order; each returns its result as text.

    :param url: ``http``, ``https``, ``ws`` or ``wss``.
    :param ca_certs: the CA bundle, or None.
    :param timeout: seconds for each of them.
    :raises Problem: the address of the proxy is invalid.
    """

    def __init__(self, url: str, ca_certs: Optional[str], timeout: float) -> None:
        parts = urlsplit(url)
        #: Whether it uses TLS.
        self.secure = parts.scheme in ("https", "wss")
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self.secure else 80)
        try:
            self._route = resolve_route(url, None, ca_certs)
        except BadProxy as error:
            raise Problem(f"proxy: {error}") from error
        self._timeout = timeout
        self._addresses: List[Address] = []
        self._socket: Optional[socket.socket] = None
        #: ``host:port``.
        self.name = f"{self._host}:{self._port}"

    def dns(self) -> str:
        """Look up the name."""
        self._skip_with_proxy()
        numeric = False
        with contextlib.suppress(ValueError):
            numeric = bool(ipaddress.ip_address(self._host))
        found = self._looked_up()
        if isinstance(found, Exception):
            raise Problem(f"DNS: no address for {self._host}: {getattr(found, 'strerror', None) or found}") from found
        self._addresses = found
        if numeric:
            raise Skipped(f"{self._host} is an address")
        texts = sorted({str(each.address[0]) for each in found})
        more = f" and {len(texts) - 2} more" if len(texts) > 2 else ""
        return f"{self._host} is {', '.join(texts[:2])}{more}"

    def _looked_up(self) -> Union[List[Address], Exception]:
        """Return the addresses, or the error. A lookup can't be interrupted, so a separate thread makes it."""
        answers: queue.SimpleQueue[Union[List[Address], Exception]] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(look_up(self._host, self._port))
            except Exception as error:  # an OSError, or a UnicodeError
                answers.put(error)

        threading.Thread(target=ask, name="lookup", daemon=True).start()
        try:
            return answers.get(timeout=self._timeout)
        except queue.Empty:
            raise Problem(f"DNS: no name server answered for {self._host} within {self._timeout:g} s") from None

    def tcp(self) -> str:
        """Connect to the first address that answers."""
        self._skip_with_proxy()
        connector = Connector(
            deadline=time.monotonic() + self._timeout, addresses_of=lambda host, port: self._addresses
        )
        try:
            self._socket = connector.connect(self._host, self._port).detach()
        except OSError as error:
            raise Problem(self._tcp_reason(error)) from error
        return f"{self.name} accepts connections"

    def tls(self) -> str:
        """Do the TLS handshake, and check the certificate like the SDK."""
        self._skip_with_proxy()
        if not self.secure:
            raise Skipped("plain http" if self._socket is not None else "no TLS here")
        assert self._socket is not None, "tcp() comes first"
        self._socket.settimeout(self._timeout)
        try:
            with client_context(self._route.ca_bundle).wrap_socket(self._socket, server_hostname=self._host) as secured:
                certificate = secured.getpeercert() or {}
                version = secured.version()
        except BadTlsFile as error:
            raise Problem(f"TLS: {error}") from error
        except ssl.SSLCertVerificationError as error:
            raise Problem(f"TLS: the certificate of {self.name} is not trusted: {error.verify_message}") from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise Problem(f"TLS: {self.name} ended the connection in the handshake") from error
        except ssl.SSLError as error:
            reason = getattr(error, "reason", None) or "the peer does not use TLS"
            raise Problem(f"TLS: the handshake with {self.name} failed: {reason}") from error
        except TIMEOUTS as error:
            raise Problem(f"TLS: timeout: {self.name} did not shake hands within {self._timeout:g} s") from error
        except OSError as error:
            raise Problem(f"TLS: {self.name} ended the connection in the handshake: {error.strerror}") from error
        return f"{version}, certificate trusted{_validity(certificate)}"

    def close(self) -> None:
        """Close the probing connection."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()

    def _skip_with_proxy(self) -> None:
        if self._route.proxy is not None:
            raise Skipped(f"through the proxy {self._route.proxy.name}")

    def _tcp_reason(self, error: OSError) -> str:
        if isinstance(error, TIMEOUTS):
            return f"timeout: no answer from {self.name} within {self._timeout:g} s"
        if isinstance(error, ConnectionRefusedError):
            return f"connection refused by {self.name}"
        return f"network: {error.strerror or error} ({self.name})"


def _validity(certificate: Mapping[str, Any]) -> str:
    end = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    moment = datetime.fromtimestamp(end, timezone.utc).strftime("%Y-%m-%d")
    return f" until {moment} ({(end - time.time()) / _DAY:.0f} days)"
