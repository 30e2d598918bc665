"""cometchat.contrib.opentelemetry: the metrics that a reader of the real SDK collects after real events."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import textwrap
import weakref
from typing import Any, Dict, FrozenSet, Iterator, List, NamedTuple, Tuple

import pytest
from integration.conftest import DEADLINE, QUICK, UID, Party, eventually
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, InMemoryMetricReader, Sum

import cometchat
from cometchat import CometChat, CometChatException
from cometchat.contrib import _metrics
from cometchat.contrib.opentelemetry import instrument
from cometchat.sandbox import Sandbox

Points = Dict[FrozenSet[Tuple[str, Any]], float]


class Collected(NamedTuple):
    """One metric of a collection."""

    unit: str
    text: str
    kind: str
    points: Points


class Telemetry:
    """The SDK with a reader in memory."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def collect(self) -> Dict[str, Collected]:
        found: Dict[str, Collected] = {}
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in (data.resource_metrics if data else ()) for scope in resource.scope_metrics]
        for scope in scopes:
            if scope.scope.name.startswith("opentelemetry"):  # some versions of the SDK report their own metrics
                continue
            assert (scope.scope.name, scope.scope.version) == ("cometchat", cometchat.__version__)
            for metric in scope.metrics:
                assert metric.name not in found, f"{metric.name} is there twice"
                if isinstance(metric.data, Sum):
                    assert metric.data.aggregation_temporality is AggregationTemporality.CUMULATIVE
                    kind = "counter" if metric.data.is_monotonic else "up_down_counter"
                else:
                    assert isinstance(metric.data, Gauge)
                    kind = "gauge"
                points = {frozenset((p.attributes or {}).items()): p.value for p in metric.data.data_points}
                found[metric.name] = Collected(metric.unit or "", metric.description or "", kind, points)
        return found

    def value(self, name: str, **attributes: str) -> float:
        return self.collect()[name].points[frozenset({"client": "default", **attributes}.items())]

    def clients(self) -> List[str]:
        metric = self.collect().get("cometchat.connects")
        return sorted(dict(attributes)["client"] for attributes in metric.points) if metric else []


#: Only for a client that shares its connection with other processes.
SHARED = {"cometchat.connection.leads"}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.provider.shutdown()


def test_a_collection_has_all_counts(party: Party, sandbox: Sandbox, telemetry: Telemetry) -> None:
    """After a ping, a reset and a close with a code, every instrument has the numbers of stats()."""
    client, recorder = party.connected()
    instrument(client, telemetry.provider)
    client.ping()
    sandbox.drop_connections()
    recorder.wait_for("on_connected", 2)
    sandbox.close_connections(1012, "restart")
    recorder.wait_for("on_connected", 3)
    client.ping()

    found, stats = telemetry.collect(), client.stats()
    plain = {
        "cometchat.connect.attempts": stats.attempts,
        "cometchat.connects": stats.connects,
        "cometchat.received.frames": stats.frames_received,
        "cometchat.received.bytes": stats.bytes_received,
        "cometchat.ignored.frames": stats.frames_ignored,
        "cometchat.messages.fetched": stats.messages_fetched,
        "cometchat.messages.truncated": stats.messages_truncated,
        "cometchat.events.queued": stats.events_queued,
        "cometchat.events.dropped": stats.events_dropped,
        "cometchat.dead_letters": stats.dead_letters,
        "cometchat.pings": stats.pings,
        "cometchat.ping.time": pytest.approx(stats.pings * (stats.ping_round_trip_mean or 0)),
        "cometchat.ping.round_trip": stats.ping_round_trip,
        "cometchat.ping.round_trip_mean": stats.ping_round_trip_mean,
        "cometchat.rate_limit.remaining": stats.rate_limit_remaining,
        "cometchat.last_error.timestamp": stats.last_errors[-1].at,
    }
    only = frozenset({("client", "default")})
    assert {name: dict(found[name].points) for name in plain} == {name: {only: value} for name, value in plain.items()}
    assert (stats.attempts, stats.connects) == (3, 3)

    def labelled(name: str, label: str) -> Dict[str, float]:
        return {dict(attributes)[label]: value for attributes, value in found[name].points.items()}

    assert labelled("cometchat.drops", "code") == {**dict.fromkeys(_metrics.DROPS, 0), "WS_CONNECTION_FAIL": 2}
    assert labelled("cometchat.close_codes", "code") == {**dict.fromkeys(_metrics.CLOSES, 0), "1012": 1}
    assert labelled("cometchat.connect.failures", "code") == dict.fromkeys(_metrics.FAILURES, 0)
    assert labelled("cometchat.connection.status", "status") == {
        "connected": 1,
        "connecting": 0,
        "disconnected": 0,
        "featureThrottled": 0,
    }
    assert set(found) == {metric.name for metric in _metrics.METRICS} - SHARED


def test_kinds_units_and_descriptions(party: Party, sandbox: Sandbox, telemetry: Telemetry) -> None:
    """A growing number is a monotonic sum, a number that adds up over clients an up-down counter, the rest gauges."""
    client, recorder = party.connected()
    instrument(client, telemetry.provider)
    client.ping()
    sandbox.close_connections(1012)
    recorder.wait_for("on_connected", 2)
    found = telemetry.collect()
    kinds = {"counter": "counter", "level": "up_down_counter", "value": "gauge"}
    assert {name: metric[:3] for name, metric in found.items()} == {
        metric.name: (metric.unit, metric.text, kinds[metric.kind.value])
        for metric in _metrics.METRICS
        if metric.name not in SHARED
    }


def test_each_collection_has_new_numbers(party: Party, sandbox: Sandbox, telemetry: Telemetry) -> None:
    """The numbers are from the time of the collection, and not from instrument()."""
    client, recorder = party.connected()
    instrument(client, telemetry.provider)
    assert telemetry.value("cometchat.connects") == 1
    sandbox.drop_connections()
    recorder.wait_for("on_connected", 2)
    assert telemetry.value("cometchat.connects") == 2
    assert telemetry.value("cometchat.connection.status", status="connected") == 1
    client.disconnect()
    assert telemetry.value("cometchat.connection.status", status="connected") == 0
    assert telemetry.value("cometchat.connection.status", status="disconnected") == 1


def test_close_ends_it(party: Party, telemetry: Telemetry) -> None:
    """After close(), that client has no metrics, and the others still have theirs. A second close() is a no-op."""
    first = instrument(party.client(), telemetry.provider, name="first")
    instrument(party.client(), telemetry.provider, name="second")
    assert telemetry.clients() == ["first", "second"]
    first.close()
    assert telemetry.clients() == ["second"]
    other = party.client()
    with instrument(other, telemetry.provider, name="first"):
        first.close()
        assert telemetry.clients() == ["first", "second"]
    assert telemetry.clients() == ["second"]


def test_an_old_handle_does_not_end_another_client(party: Party, telemetry: Telemetry) -> None:
    """Two handles of one client: after the end of one, the name may be another client's."""
    client = party.client()
    first, second = instrument(client, telemetry.provider), instrument(client, telemetry.provider)
    first.close()
    instrument(party.client(), telemetry.provider)
    second.close()
    assert telemetry.clients() == ["default"]


def test_again_is_nothing_new(party: Party, telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """A client that is instrumented twice, or again after close(), is reported once, and the SDK does not warn."""
    client = party.client()
    instrument(client, telemetry.provider)
    instrument(client, telemetry.provider).close()
    assert telemetry.clients() == []
    instrument(client, telemetry.provider)
    assert telemetry.clients() == ["default"]
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


def test_a_closed_handle_lets_go_of_the_client(party: Party, telemetry: Telemetry) -> None:
    """After close() this module no longer keeps the client, though the instruments stay."""
    client = cometchat.Client("app", cometchat.AppSettings(region="us"))
    instrument(client, telemetry.provider).close()
    client.close()
    gone = weakref.ref(client)
    del client
    assert eventually(lambda: (gc.collect(), gone())[1] is None)


@pytest.mark.usefixtures("facade")
def test_the_shared_client(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """CometChat before init is disconnected and has counted nothing.

    After init and login it has the client's numbers.
    """
    with instrument(CometChat, telemetry.provider):
        assert telemetry.value("cometchat.connection.status", status="disconnected") == 1
        assert telemetry.value("cometchat.connect.attempts") == 0
        CometChat.init(sandbox.app_id, sandbox.settings(reconnect_wait=QUICK))
        CometChat.login(UID, sandbox.auth_key)
        CometChat.connect(DEADLINE)
        assert telemetry.value("cometchat.connection.status", status="connected") == 1
        assert telemetry.value("cometchat.connects") == 1


def test_two_providers_are_apart(party: Party, telemetry: Telemetry) -> None:
    """Each provider reports the clients that were given to it."""
    other = Telemetry()
    instrument(party.client(), telemetry.provider, name="one")
    instrument(party.client(), other.provider, name="two")
    assert (telemetry.clients(), other.clients()) == (["one"], ["two"])
    other.provider.shutdown()


def test_a_provider_is_released(party: Party) -> None:
    """This module keeps no provider alive."""
    client = party.client()
    provider: Any = MeterProvider([])
    instrument(client, provider)
    provider.shutdown()
    gone = weakref.ref(provider)
    del provider
    assert eventually(lambda: (gc.collect(), gone())[1] is None)


@pytest.mark.parametrize(
    "client, name, code",
    [(None, "x", "INVALID_CLIENT"), (CometChat(), "x", "INVALID_CLIENT"), (CometChat, "", "INVALID_NAME")],
)
def test_wrong_arguments_are_named(telemetry: Telemetry, client: Any, name: Any, code: str) -> None:
    """An object that is not a client and an empty name are refused, and nothing is reported."""
    with pytest.raises(CometChatException) as refused:
        instrument(client, telemetry.provider, name=name)
    assert refused.value.code == code
    assert telemetry.clients() == []


def test_a_wrong_provider_is_named(telemetry: Telemetry) -> None:
    """A meter in place of its provider is refused."""
    meter: Any = telemetry.provider.get_meter("mine")
    with pytest.raises(CometChatException, match="got Meter") as refused:
        instrument(CometChat, meter)
    assert (refused.value.code, refused.value.name) == ("INVALID_METER_PROVIDER", "meter_provider")


def test_a_name_in_use(party: Party, telemetry: Telemetry) -> None:
    """The name of another client is refused until that client's handle is closed."""
    handle = instrument(party.client(), telemetry.provider)
    other = party.client()
    with pytest.raises(CometChatException, match="INVALID_NAME"):
        instrument(other, telemetry.provider)
    handle.close()
    instrument(other, telemetry.provider)
    assert telemetry.clients() == ["default"]


def test_without_an_sdk_it_does_nothing(party: Party) -> None:
    """With the API's own provider that does nothing, instrument() and close() do nothing."""
    instrument(party.client(), NoOpMeterProvider()).close()


def run(program: str) -> Any:
    """Return the JSON that a Python program prints, in a separate process: the global provider can be set only once."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=50
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return json.loads(ended.stdout)


GLOBAL = """
import json
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from cometchat import AppSettings, Client
from cometchat.contrib.opentelemetry import instrument

def client():
    return Client("app", AppSettings(region="us"))

reader = InMemoryMetricReader()
provider = MeterProvider([reader])
early = %(early)s
late = %(late)s
instrument(client(), early, name="early")
metrics.set_meter_provider(provider)
instrument(client(), late, name="late")
instrument(client(), provider, name="later")
(resource,) = reader.get_metrics_data().resource_metrics
(scope,) = [scope for scope in resource.scope_metrics if scope.scope.name == "cometchat"]
(connects,) = [metric for metric in scope.metrics if metric.name == "cometchat.connects"]
print(json.dumps(sorted(point.attributes["client"] for point in connects.data.data_points)))
"""


@pytest.mark.parametrize("early, late", [("None", "None"), ("provider", "None"), ("None", "provider")])
def test_the_global_provider_may_be_set_later(early: str, late: str) -> None:
    """Clients given before and after set_meter_provider(), by the global provider or by its name, are all reported."""
    assert run(GLOBAL % {"early": early, "late": late}) == ["early", "late", "later"]


def test_the_sdk_is_not_imported() -> None:
    """The module needs only opentelemetry-api."""
    program = """
    import json, sys
    import cometchat.contrib.opentelemetry
    print(json.dumps([name for name in sys.modules if name.startswith("opentelemetry.sdk")]))
    """
    assert run(program) == []
