"""OpenTelemetry metrics (``pip install 'cometchat[opentelemetry]'``): a client's numbers as observable instruments.

This module uses the API package only. Your program chooses the SDK, the exporter and the interval. Without an SDK it
has no cost. Each collection asks a client for its status and ``stats()``, on the reader's thread.
"""

from __future__ import annotations

import weakref
from typing import Any, Callable, Iterable, List, Optional

from cometchat import __version__
from cometchat.exceptions import unusable

from ._arguments import AnyClient
from ._extras import naming_the_extra
from ._fork_lock import ForkLock
from ._metrics import METRICS, Clients, Kind, Metric

with naming_the_extra("opentelemetry"):
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter_provider

__all__ = ["Instrumentation", "instrument"]

#: Name of the meter: the scope in an SDK's views and backends.
SCOPE = "cometchat"


#: An instrument can't be removed, so each provider has one set, created once. No value may refer to its provider.
_providers: weakref.WeakKeyDictionary[MeterProvider, Clients] = weakref.WeakKeyDictionary()
_globals: Optional[Clients] = None  # above the function that sets it: PyPy requires that of an annotated name
_lock = ForkLock()


class Instrumentation:
    """The handle that :func:`instrument` returns. It is also a context manager that calls :meth:`close`."""

    def __init__(self, clients: Any, name: str, client: AnyClient) -> None:
        # Any, because the API reference shows this signature, and should not show an internal class.
        self._clients: Optional[Clients] = clients
        self._name = name
        self._client: Optional[AnyClient] = client

    def close(self) -> None:
        """Stop reporting the client's numbers, and release it. No-op when called twice. Any thread."""
        with _lock:  # the name may become another client's
            clients, client, self._clients, self._client = self._clients, self._client, None, None
            if clients is not None:
                clients.remove(self._name, client)

    def __enter__(self) -> Instrumentation:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def instrument(
    client: AnyClient, meter_provider: Optional[MeterProvider] = None, *, name: str = "default"
) -> Instrumentation:
    """Report a client's numbers at each collection, until the returned handle is closed. Any thread.

    If the client already has this name, nothing changes, and either handle ends it. You need not keep the handle. Close
    it together with the client, otherwise its last numbers stay. You can pass ``CometChat`` before ``init``.

    :param client: a ``Client``, or the class ``CometChat``.
    :param meter_provider: default: the global provider, which may be set later.
    :param name: the value of the attribute ``client``, which distinguishes the clients of a process.
    :raises CometChatException: ``INVALID_CLIENT``; ``INVALID_NAME``: empty, or used for another client;
        ``INVALID_METER_PROVIDER``.
    """
    provider = get_meter_provider() if meter_provider is None else meter_provider
    if not isinstance(provider, MeterProvider):
        raise unusable("meter_provider", f"a MeterProvider, got {type(provider).__name__}")
    with _lock:
        clients = _clients_of(provider)
        clients.add(name, client)
    return Instrumentation(clients, name, client)


def _clients_of(provider: MeterProvider) -> Clients:
    """Return the clients that the provider's instruments report. (It ignores further instruments with equal names.)"""
    global _globals
    clients = _providers.get(provider)
    if clients is None and provider is get_meter_provider():
        # The global provider was set after its first use, and the instruments moved to it.
        clients = _globals
    if clients is None:
        clients = Clients()
        meter = provider.get_meter(SCOPE, __version__)
        for metric in METRICS:
            _create(meter, metric, clients)
    if provider is get_meter_provider():
        _globals = clients
    _providers[provider] = clients
    return clients


def _create(meter: Meter, metric: Metric, clients: Clients) -> None:
    makers = {
        Kind.COUNTER: meter.create_observable_counter,
        Kind.LEVEL: meter.create_observable_up_down_counter,
        Kind.VALUE: meter.create_observable_gauge,
    }
    makers[metric.kind](metric.name, [_observer(metric, clients)], metric.unit, metric.text)


def _observer(metric: Metric, clients: Clients) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(options: CallbackOptions) -> Iterable[Observation]:
        observations: List[Observation] = []
        for name, reading in clients.read():
            for value, number in metric.read(reading).items():
                attributes = {"client": name, metric.label: value} if metric.label else {"client": name}
                observations.append(Observation(number, attributes))
        return observations

    return observe
