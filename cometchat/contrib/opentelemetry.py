"""OpenTelemetry metrics (``pip install 'cometchat[opentelemetry]'``): a client's numbers as observable instruments.

This module uses the API package only. Your program chooses the SDK, the exporter and the interval;
without an SDK it costs nothing. Each collection asks a client for its status and ``stats()``, on the reader's thread.
"""

from __future__ import annotations

import weakref
from typing import Any, Callable, Iterable, List, Optional

from cometchat import __version__

from ._arguments import wrong
from ._extras import naming_the_extra
from ._fork_lock import ForkLock
from ._metrics import METRICS, Clients, Kind, Metric, Source

with naming_the_extra("opentelemetry"):
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter_provider

__all__ = ["Instrumentation", "instrument"]

#: Of the meter: the scope that an SDK's views and backends see.
SCOPE = "cometchat"


class Instrumentation:
    """The handle that :func:`instrument` returns. It is also a context manager, which calls :meth:`close`."""

    def __init__(self, clients: Any, name: str) -> None:
        # Any: the signature is in the reference, where the class of an inner module has no place.
        self._clients: Optional[Clients] = clients
        self._name = name

    def close(self) -> None:
        """Stop reporting the client's numbers, and release it. No-op when called twice. Any thread."""
        clients, self._clients = self._clients, None
        if clients is not None:
            clients.remove(self._name)

    def __enter__(self) -> Instrumentation:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def instrument(
    client: Source, meter_provider: Optional[MeterProvider] = None, *, name: str = "default"
) -> Instrumentation:
    """Report a client's numbers at each collection, until the returned handle is closed. Any thread.

    If the same client has the same name already, nothing changes, and either handle ends it. You need not keep the
    handle. Close it with the client, or its last numbers stay. ``CometChat`` may be given before ``init``.

    :param client: a ``Client``, or the class ``CometChat``.
    :param meter_provider: default: the global one, which may be set later.
    :param name: the value of the attribute ``client``, which distinguishes several clients of a process.
    :raises CometChatException: ``INVALID_CLIENT``; ``INVALID_NAME``: empty, or another client's;
        ``INVALID_METER_PROVIDER``.
    """
    provider = get_meter_provider() if meter_provider is None else meter_provider
    if not isinstance(provider, MeterProvider):
        raise wrong("meter_provider", f"a MeterProvider, got {type(provider).__name__}")
    with _lock:
        clients = _clients_of(provider)
        clients.add(name, client)
    return Instrumentation(clients, name)


def _clients_of(provider: MeterProvider) -> Clients:
    """The clients that the provider's instruments report. It would ignore more instruments of the same name."""
    global _globals
    clients = _providers.get(provider)
    if clients is None and provider is get_meter_provider():
        # The global provider was set after it was used: the instruments have moved to it.
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


#: An instrument can't be removed: each provider has one set, made once. No value may refer to its provider.
_providers: weakref.WeakKeyDictionary[MeterProvider, Clients] = weakref.WeakKeyDictionary()
_globals: Optional[Clients] = None
_lock = ForkLock()
