"""Bytes between this machine and a host: names, TCP, proxies, TLS, and their errors in plain words."""

from ..._proxy_address import BadProxy, Proxy
from ._dial import Connector, LookUp, dial, look_up
from ._errors import DialFailed, has_no_address, is_timeout, network_reason
from ._host_probe import Address, SharedProbe, host_probe_for, is_unanswered
from ._http_head import BadAnswer, Head, Refused, http_date, read_head, requested_wait
from ._network_changes import NetworkChanges
from ._proxy import Route, host_and_port, is_address, resolve_route
from ._stream import TIMEOUTS, BufferedStream, DeadlineReached, Interrupted, Interrupter
from ._tls import BadTlsFile, ClientCert, client_context, strict_context, tls_ended

__all__ = [
    "Address",
    "BadAnswer",
    "BadProxy",
    "BadTlsFile",
    "BufferedStream",
    "ClientCert",
    "Connector",
    "DeadlineReached",
    "DialFailed",
    "Head",
    "Interrupted",
    "Interrupter",
    "LookUp",
    "NetworkChanges",
    "Proxy",
    "Refused",
    "Route",
    "SharedProbe",
    "TIMEOUTS",
    "client_context",
    "dial",
    "has_no_address",
    "host_and_port",
    "host_probe_for",
    "http_date",
    "is_address",
    "is_timeout",
    "is_unanswered",
    "look_up",
    "network_reason",
    "read_head",
    "requested_wait",
    "resolve_route",
    "strict_context",
    "tls_ended",
]
