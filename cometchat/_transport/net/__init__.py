"""Bytes between this machine and a host: names, TCP, proxies, TLS, and their errors in plain words."""

from ._dial import Connector, LookUp, dial, look_up
from ._errors import (
    LONGEST_RETRY_AFTER,
    DialFailed,
    has_no_address,
    http_date,
    is_timeout,
    network_reason,
    requested_wait,
    retry_after_seconds,
)
from ._host_probe import Address, SharedProbe, host_probe_for, is_unanswered
from ._network_changes import NetworkChanges
from ._proxy import SOCKS, BadProxy, Proxy, Route, host_and_port, resolve_route
from ._stream import (
    MAX_HEAD,
    TIMEOUTS,
    BadAnswer,
    BufferedStream,
    DeadlineReached,
    Head,
    Interrupted,
    Interrupter,
    Refused,
    read_head,
)
from ._tls import ClientCert, client_context, strict_context, tls_ended

__all__ = [
    "Address",
    "BadAnswer",
    "BadProxy",
    "BufferedStream",
    "ClientCert",
    "Connector",
    "DeadlineReached",
    "DialFailed",
    "Head",
    "Interrupted",
    "Interrupter",
    "LONGEST_RETRY_AFTER",
    "LookUp",
    "MAX_HEAD",
    "NetworkChanges",
    "Proxy",
    "Refused",
    "Route",
    "SOCKS",
    "SharedProbe",
    "TIMEOUTS",
    "client_context",
    "dial",
    "has_no_address",
    "host_and_port",
    "host_probe_for",
    "http_date",
    "is_timeout",
    "is_unanswered",
    "look_up",
    "network_reason",
    "read_head",
    "requested_wait",
    "resolve_route",
    "retry_after_seconds",
    "strict_context",
    "tls_ended",
]
