"""Bytes between this machine and a host: names, TCP, proxies, TLS, and what is wrong with them in plain words."""

from ._errors import LONGEST_RETRY_AFTER, network_reason, retry_after_seconds
from ._host_probe import Address, HostProbe, host_probe_for
from ._network_changes import NetworkChanges
from ._proxy import SOCKS, BadProxy, Proxy, read_proxy
from ._stream import BufferedStream, DeadlineReached, Interrupted
from ._tcp import Connector, LookUp, look_up
from ._tls import client_context

__all__ = [
    "LONGEST_RETRY_AFTER",
    "SOCKS",
    "Address",
    "BadProxy",
    "BufferedStream",
    "Connector",
    "DeadlineReached",
    "HostProbe",
    "Interrupted",
    "LookUp",
    "NetworkChanges",
    "Proxy",
    "client_context",
    "host_probe_for",
    "look_up",
    "network_reason",
    "read_proxy",
    "retry_after_seconds",
]
