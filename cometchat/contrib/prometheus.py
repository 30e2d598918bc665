"""Prometheus, through prometheus-client (``pip install 'cometchat[prometheus]'``): a client's numbers at each scrape.

This module does nothing between scrapes. Each scrape asks a client for its status and ``stats()``, on the thread that
answers the scrape.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import Iterable, List, Sequence, Tuple, Union

from cometchat.exceptions import unusable

from ._arguments import AnyClient
from ._extras import naming_the_extra
from ._fork_lock import ForkLock
from ._metrics import METRICS, Clients, Kind, Metric, Reading

with naming_the_extra("prometheus"):
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector

__all__ = ["CometChatCollector", "register", "unregister"]

Family = Union[CounterMetricFamily, GaugeMetricFamily]

#: UCUM unit -> suffix of a Prometheus name. Counted things have no suffix.
_UNITS = {"By": "bytes", "s": "seconds"}


class CometChatCollector(Collector):
    """The clients of one registry. :func:`register` creates it; create it yourself only for special cases."""

    def __init__(self) -> None:
        self._clients = Clients()

    def add(self, client: AnyClient, name: str = "default") -> None:
        """Add a client to this collector, like :func:`register`."""
        self._clients.add(name, client)

    def remove(self, name: str = "default") -> None:
        """Remove a client from this collector, like :func:`unregister`."""
        self._clients.remove(name)

    def __bool__(self) -> bool:
        """Return whether there are clients."""
        return bool(self._clients)

    def describe(self) -> List[Family]:
        """Return the collector's names. ``CollectorRegistry.register`` calls it."""
        return [_family(metric, ()) for metric in METRICS]

    def collect(self) -> Iterable[Family]:
        """Return the current numbers. The registry calls it at each scrape, on the scrape's thread."""
        readings = self._clients.read()
        return [_family(metric, readings) for metric in METRICS]


def register(client: AnyClient, name: str = "default", registry: CollectorRegistry = REGISTRY) -> None:
    """Show a client's numbers in a registry, until :func:`unregister`. Any thread.

    No-op if the client already has this name. The registry keeps the client: unregister a closed client, otherwise its
    last numbers stay. You can register ``CometChat`` before ``init``.

    :param client: a ``Client``, or the class ``CometChat``.
    :param name: the value of the label ``client``, which distinguishes the clients of a process.
    :param registry: a registry of prometheus-client. In its multiprocess mode, use your own registry.
    :raises CometChatException: ``INVALID_CLIENT``; ``INVALID_NAME``: empty, or used for another client;
        ``INVALID_REGISTRY``: not a registry, or the default registry in multiprocess mode, which shows no collector.
    :raises ValueError: another collector in the registry uses one of the names.
    """
    _check(registry)
    if registry is REGISTRY and _is_multiprocess():
        raise unusable(
            "registry",
            "a separate CollectorRegistry for this process, on its own port (PROMETHEUS_MULTIPROC_DIR is set, and"
            " prometheus-client's multiprocess mode does not show collectors)",
        )
    with _lock:
        collector = _collectors.get(registry) or CometChatCollector()
        new = not collector
        collector.add(client, name)
        if new:
            registry.register(collector)
            _collectors[registry] = collector


def unregister(name: str = "default", registry: CollectorRegistry = REGISTRY) -> None:
    """Stop showing a client's numbers. No-op if the name is unknown. Any thread.

    :raises CometChatException: ``INVALID_REGISTRY``.
    """
    _check(registry)
    with _lock:
        collector = _collectors.get(registry)
        if collector:
            collector.remove(name)
            if not collector:
                del _collectors[registry]
                with contextlib.suppress(KeyError):  # the program has unregistered the collector itself
                    registry.unregister(collector)


def _check(registry: object) -> None:
    if not isinstance(registry, CollectorRegistry):
        raise unusable("registry", f"prometheus-client's CollectorRegistry, got {type(registry).__name__}")


def _is_multiprocess() -> bool:
    # prometheus-client accepts both spellings.
    return any(os.environ.get(name) for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"))


def _family(metric: Metric, readings: Sequence[Tuple[str, Reading]]) -> Family:
    cls = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    labels = ["client"] + ([metric.label] if metric.label else [])
    family: Family = cls(metric.name.replace(".", "_"), metric.text, labels=labels, unit=_UNITS.get(metric.unit, ""))
    for name, reading in readings:
        for value, number in metric.read(reading).items():
            family.add_metric([name, value] if metric.label else [name], number)
    return family


#: Each registry has one collector, because two would have metrics with the same name.
_collectors: weakref.WeakKeyDictionary[CollectorRegistry, CometChatCollector] = weakref.WeakKeyDictionary()
_lock = ForkLock()
