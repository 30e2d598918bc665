"""cometchat.contrib.prometheus: the numbers that a Prometheus server reads after real events in the sandbox."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap
import time
import urllib.request
import weakref
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterator, List, Tuple

import pytest
import tenacity
from integration.conftest import DEADLINE, QUICK, UID, Party, eventually, finished, in_thread
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest, start_http_server
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from cometchat import CometChat, CometChatException, Member, MessageListener, Seat, SharedStatus
from cometchat.contrib import _metrics
from cometchat.contrib.prometheus import CometChatCollector, register, unregister
from cometchat.sandbox import Sandbox

#: Name and labels -> value.
Samples = Dict[Tuple[str, FrozenSet[Tuple[str, str]]], float]


class Scrape:
    """One exposition, read by prometheus-client's own parser."""

    def __init__(self, text: str) -> None:
        self.families = list(parse(text))
        self.samples: Samples = {}
        for family in self.families:
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.samples, f"{sample.name} is there twice"
                self.samples[key] = sample.value

    def value(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset({"client": "default", **labels}.items())]

    def by(self, label: str, name: str) -> Dict[str, float]:
        found = ((dict(labels), value) for (name_, labels), value in self.samples.items() if name_ == name)
        return {labels[label]: value for labels, value in found if labels["client"] == "default"}

    @property
    def status(self) -> str:
        """Return the one status that is 1."""
        states = self.by("status", "cometchat_connection_status")
        assert sorted(states) == ["connected", "connecting", "disconnected", "featureThrottled"]
        assert sorted(states.values()) == [0, 0, 0, 1]
        return max(states, key=lambda state: states[state])


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def scrape(registry: CollectorRegistry) -> Scrape:
    return Scrape(generate_latest(registry).decode())


# Events.


def test_a_scrape_has_all_counts(party: Party, sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """After a ping, a reset and a close with a code, every number equals that of stats() and of the sandbox."""
    client, recorder = party.connected()
    register(client, registry=registry)
    client.ping()
    sandbox.drop_connections()
    recorder.wait_for("on_connected", 2)
    sandbox.close_connections(1012, "restart")
    recorder.wait_for("on_connected", 3)
    sandbox.send_raw("{}")
    client.ping()
    assert eventually(lambda: client.stats().frames_ignored == 1)

    seen, stats = scrape(registry), client.stats()
    assert seen.status == "connected"
    assert seen.value("cometchat_connect_attempts_total") == stats.attempts == len(sandbox.attempts) == 3
    assert seen.value("cometchat_connects_total") == 3
    assert sum(seen.by("code", "cometchat_connect_failures_total").values()) == 0
    assert seen.by("code", "cometchat_drops_total") == {
        "ERR_PONG_TIMEOUT": 0,
        "ERR_PROTOCOL": 0,
        "WS_CONNECTION_FAIL": 2,
    }
    assert seen.by("code", "cometchat_close_codes_total") == {**dict.fromkeys(_metrics.CLOSES, 0), "1012": 1}
    assert seen.value("cometchat_received_frames_total") == stats.frames_received >= 3
    assert seen.value("cometchat_received_bytes_total") == stats.bytes_received > stats.frames_received
    assert seen.value("cometchat_ignored_frames_total") == 1
    assert seen.value("cometchat_messages_fetched_total") == 0
    assert seen.value("cometchat_events_queued") == 0
    assert seen.value("cometchat_events_dropped_total") == 0
    assert seen.value("cometchat_dead_letters_total") == 0
    assert seen.value("cometchat_pings_total") == stats.pings >= 2
    assert seen.value("cometchat_ping_round_trip_seconds") == stats.ping_round_trip
    assert seen.value("cometchat_ping_round_trip_mean_seconds") == stats.ping_round_trip_mean
    mean = seen.value("cometchat_ping_time_seconds_total") / seen.value("cometchat_pings_total")
    assert mean == pytest.approx(stats.ping_round_trip_mean)
    assert seen.value("cometchat_rate_limit_remaining") == stats.rate_limit_remaining > 0
    assert seen.value("cometchat_last_error_timestamp_seconds") == stats.last_errors[-1].at
    assert abs(time.time() - stats.last_errors[-1].at) < DEADLINE


def test_the_status_is_one_of_four(party: Party, sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """Each of the four statuses is 1 while the client has it, and the other three are 0."""
    client = party.client(reconnect_wait=tenacity.wait_fixed(60))
    register(client, registry=registry)
    seen = [scrape(registry).status]
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)
    seen.append(scrape(registry).status)
    client.disconnect()
    sandbox.set_mode("LIMITED_TRANSIENT")
    client.connect(DEADLINE)
    assert eventually(lambda: client.get_connection_status() == "featureThrottled")
    seen.append(scrape(registry).status)
    sandbox.refuse_connections()
    sandbox.drop_connections()
    assert eventually(lambda: client.get_connection_status() == "connecting")
    seen.append(scrape(registry).status)
    client.close()
    seen.append(scrape(registry).status)
    assert seen == ["disconnected", "connected", "featureThrottled", "connecting", "disconnected"]


def test_failures_are_counted_by_code(party: Party, sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """Refused upgrades and a silent auth are failures with their codes.

    A ping without an answer is a separate kind of drop.
    """
    client, recorder = party.connected(auth_timeout=0.2, ping_interval=0.2, pong_timeout=0.2)
    register(client, registry=registry)
    sandbox.ignore_pings()
    recorder.wait_for("on_disconnected")
    sandbox.ignore_auth(times=1)
    sandbox.refuse_upgrades(503)
    recorder.wait_for("on_connection_error", 4)
    sandbox.heal()
    assert eventually(lambda: scrape(registry).status == "connected")
    seen = scrape(registry)
    assert seen.by("code", "cometchat_drops_total")["ERR_PONG_TIMEOUT"] >= 1
    assert seen.by("code", "cometchat_connect_failures_total")["WS_CONNECTION_FAIL"] >= 1
    assert seen.by("code", "cometchat_connect_failures_total") == {
        **dict.fromkeys(_metrics.FAILURES, 0),
        **client.stats().failures,
    }


def test_missed_messages_and_dropped_events(party: Party, sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """A message from between two connections is fetched, and events without room are dropped. Both are counted."""
    heard: List[str] = []
    client, recorder = party.connected(max_queued_events=100)
    register(client, registry=registry)

    class Slow(MessageListener):
        def on_text_message_received(self, message: Any) -> None:
            heard.append(message.text)
            if message.text == "now":
                assert eventually(lambda: client.stats().events_dropped > 0)

    client.add_message_listener("slow", Slow())
    sandbox.send_message("cometchat-uid-2", UID, "first")
    assert eventually(lambda: heard == ["first"])
    client.disconnect()
    sandbox.send_message("cometchat-uid-2", UID, "missed")
    client.connect(DEADLINE)
    assert eventually(lambda: heard == ["first", "missed"])
    assert scrape(registry).value("cometchat_messages_fetched_total") == client.stats().messages_fetched >= 1
    sandbox.send_message("cometchat-uid-2", UID, "now")
    assert eventually(lambda: heard[-1] == "now")
    for _ in range(150):
        sandbox.typing("cometchat-uid-2", UID)
    assert eventually(lambda: scrape(registry).value("cometchat_events_dropped_total") >= 1)
    assert eventually(lambda: scrape(registry).value("cometchat_events_queued") == 0)
    assert scrape(registry).value("cometchat_events_dropped_total") == client.stats().events_dropped


def test_the_codes_that_are_known_are_there_from_the_start(party: Party, registry: CollectorRegistry) -> None:
    """A client that has done nothing has 0 for each known code, so that the first failure is an increase."""
    register(party.client(), registry=registry)
    seen = scrape(registry)
    assert seen.by("code", "cometchat_drops_total") == dict.fromkeys(_metrics.DROPS, 0)
    assert seen.by("code", "cometchat_close_codes_total") == dict.fromkeys(_metrics.CLOSES, 0)
    assert seen.by("code", "cometchat_connect_failures_total") == dict.fromkeys(_metrics.FAILURES, 0)


def test_unknown_values_are_left_out(party: Party, registry: CollectorRegistry) -> None:
    """Round trips and the time of the last error are absent before the first of them: 0 would be wrong."""
    register(party.client(), registry=registry)
    names = {name for name, _ in scrape(registry).samples}
    assert "cometchat_pings_total" in names
    assert not names & {
        "cometchat_ping_round_trip_seconds",
        "cometchat_ping_round_trip_mean_seconds",
        "cometchat_last_error_timestamp_seconds",
        "cometchat_rate_limit_remaining",
        "cometchat_connection_leads",
    }


@pytest.mark.parametrize("codes", [1, 49, 50, 51, 5000])
def test_codes_are_bounded(codes: int) -> None:
    """If a server invents many codes, there are 50 of them and "other". Nothing is lost, and no count ever shrinks."""
    counted: Dict[str, int] = {}
    before: Dict[str, float] = {}
    for number in [*range(codes), *range(codes)]:
        counted[f"ERR_{number}"] = counted.get(f"ERR_{number}", 0) + 1
        if number % 500 == 0 or codes < 100:
            now = _metrics.bounded(counted, _metrics.DROPS)
            assert all(now[code] >= count for code, count in before.items())
            assert sum(now.values()) == sum(counted.values())
            before = now
    assert len(before) == min(codes + len(_metrics.DROPS), _metrics.MAX_CODES + 1)
    assert (_metrics.OTHER in before) == (codes + len(_metrics.DROPS) > _metrics.MAX_CODES)


def test_a_long_code_is_cut() -> None:
    """A code has at most 64 characters. Two codes with the same first 64 are counted together."""
    assert _metrics.bounded({"X" * 65: 1, "X" * 66: 2}) == {"X" * 64: 3}


# Formats.


def test_the_openmetrics_format_is_valid(party: Party, sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """The strict OpenMetrics parser accepts the exposition: units, suffixes and types are consistent."""
    client, _ = party.connected()
    register(client, registry=registry)
    register(party.client(), "other", registry)
    client.ping()
    families = {family.name: family for family in parse_openmetrics(generate_openmetrics(registry).decode())}
    assert len(families) == len(_metrics.METRICS)
    assert families["cometchat_received_bytes"].unit == "bytes"
    assert families["cometchat_ping_round_trip_seconds"].unit == "seconds"
    assert families["cometchat_connects"].unit == ""


def test_over_http(party: Party, registry: CollectorRegistry) -> None:
    """prometheus-client's own HTTP server serves the metrics, like all others."""
    client, _ = party.connected()
    register(client, registry=registry)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=DEADLINE) as answer:
            assert Scrape(answer.read().decode()).status == "connected"
        url = f"http://127.0.0.1:{server.server_port}/metrics?name[]=cometchat_connects_total"
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            assert [name for name, _ in Scrape(answer.read().decode()).samples] == ["cometchat_connects_total"]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE)


# Several clients, and no client.


def test_two_clients_have_separate_numbers(party: Party, sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """Two clients in one registry are one metric with two values of the label, each with separate numbers."""
    client, _ = party.connected()
    register(client, "reader", registry)
    register(party.client(), 'the "bot"\n', registry)
    seen = scrape(registry)
    assert seen.value("cometchat_connects_total", client="reader") == 1
    assert seen.value("cometchat_connects_total", client='the "bot"\n') == 0
    assert len([family for family in seen.families if family.name == "cometchat_connects"]) == 1


@pytest.mark.usefixtures("facade")
def test_the_shared_client(sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """CometChat before init is disconnected and has counted nothing.

    Then it has the client's numbers, and later another client's.
    """
    register(CometChat, registry=registry)
    seen = scrape(registry)
    assert seen.status == "disconnected" and seen.value("cometchat_connect_attempts_total") == 0
    CometChat.init(sandbox.app_id, sandbox.settings(reconnect_wait=QUICK))
    CometChat.login(UID, sandbox.auth_key)
    CometChat.connect(DEADLINE)
    seen = scrape(registry)
    assert seen.status == "connected" and seen.value("cometchat_connects_total") == 1
    CometChat.init("another-app", sandbox.settings())
    seen = scrape(registry)
    assert seen.status == "disconnected" and seen.value("cometchat_connects_total") == 0


@pytest.mark.usefixtures("facade")
def test_an_unforeseen_error_of_stats_is_not_hidden(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only "not initialised" means no metrics. Any other error of stats() fails the scrape, where it is visible."""

    def stats() -> None:
        raise CometChatException("ERR_INTERNAL", "no")

    monkeypatch.setattr(CometChat, "stats", stats)
    register(CometChat, registry=registry)
    with pytest.raises(CometChatException, match="ERR_INTERNAL"):
        scrape(registry)


class Followed:
    """A status store whose leader is another process, connected. Its seat does nothing."""

    def join(self, app_id: str, uid: str, member: Member) -> Seat:
        member.follow(SharedStatus("connected"))
        return self

    def leads_until(self) -> float:
        return 0.0

    def publish(self, status: SharedStatus) -> None:
        """Do nothing: this store has no readers."""

    def relay(self, data: bytes) -> None:
        """Do nothing: this store has no readers."""

    def send_up(self, text: str) -> None:
        """Do nothing: this store has no readers."""

    def step_down(self) -> None:
        """Do nothing: this store has no members."""

    def leave(self) -> None:
        """Do nothing: this store has no members."""

    def wait_left(self, timeout: float) -> None:
        """Do nothing: this store has no members."""

    def release_after_fork(self) -> None:
        """Do nothing: this store has no members."""


def test_a_follower_shows_the_leaders_status(party: Party, sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """With a status store, a process without a connection shows the leader's status."""
    client, _ = party.connected(status_store=Followed())
    register(client, registry=registry)
    assert scrape(registry).status == "connected"
    assert sandbox.attempts == []


# Registering.


def test_again_is_nothing(party: Party, registry: CollectorRegistry) -> None:
    """The same client can be registered again under the same name, like in an app that is set up twice."""
    client = party.client()
    register(client, registry=registry)
    register(client, registry=registry)
    assert scrape(registry).value("cometchat_connects_total") == 0
    unregister(registry=registry)
    assert scrape(registry).samples == {}


def test_a_name_in_use(party: Party, registry: CollectorRegistry) -> None:
    """The name of another client is refused, and is free after unregister()."""
    register(party.client(), registry=registry)
    other = party.client()
    with pytest.raises(CometChatException) as refused:
        register(other, registry=registry)
    assert (refused.value.code, refused.value.name) == ("INVALID_NAME", "name")
    assert "'default'" in refused.value.message
    unregister(registry=registry)
    register(other, registry=registry)
    assert scrape(registry).value("cometchat_connects_total") == 0


@pytest.mark.parametrize(
    "client, name, code",
    [(None, "x", "INVALID_CLIENT"), (CometChat(), "x", "INVALID_CLIENT"), (CometChat, "", "INVALID_NAME")]
    + [(CometChat, 7, "INVALID_NAME")],
)
def test_wrong_arguments_are_named(registry: CollectorRegistry, client: Any, name: Any, code: str) -> None:
    """An object that is not a client, and a name that is empty or not a string, are refused.

    The registry does not change.
    """
    with pytest.raises(CometChatException) as refused:
        register(client, name, registry)
    assert refused.value.code == code
    assert generate_latest(registry) == b""


def test_a_wrong_registry_is_named() -> None:
    """Both calls refuse an object that is not a CollectorRegistry."""
    nothing: Any = None
    for call in (lambda: register(CometChat, registry=nothing), lambda: unregister(registry=nothing)):
        with pytest.raises(CometChatException, match="got NoneType") as refused:
            call()
        assert (refused.value.code, refused.value.name) == ("INVALID_REGISTRY", "registry")


def test_unregister_leaves_the_others(party: Party, registry: CollectorRegistry) -> None:
    """The others stay. After the last one, the names are free for other collectors. An unknown name is a no-op."""
    register(party.client(), "one", registry)
    register(party.client(), "two", registry)
    unregister("three", registry)
    unregister("one", registry)
    assert {dict(labels)["client"] for _, labels in scrape(registry).samples} == {"two"}
    with pytest.raises(ValueError, match="cometchat_drops"):
        Counter("cometchat_drops", "Another collector's.", registry=registry)
    unregister("two", registry)
    unregister("two", registry)
    Counter("cometchat_drops", "Another collector's.", registry=registry)


def test_unregister_after_the_program_cleared_the_registry(party: Party, registry: CollectorRegistry) -> None:
    """A test suite that removes all collectors of a registry may unregister its client afterwards."""
    client = party.client()
    register(client, registry=registry)
    for collector in list(registry._collector_to_names):
        registry.unregister(collector)
    unregister(registry=registry)
    register(client, registry=registry)
    assert scrape(registry).status == "disconnected"


def test_a_clash_of_names_changes_nothing(party: Party, registry: CollectorRegistry) -> None:
    """If another collector has one of the names, register() raises. It succeeds after that collector is gone."""
    clash = Counter("cometchat_drops", "Another collector's.", registry=registry)
    client = party.client()
    with pytest.raises(ValueError, match="cometchat_drops"):
        register(client, registry=registry)
    registry.unregister(clash)
    register(client, registry=registry)
    assert scrape(registry).value("cometchat_connects_total") == 0


def test_the_default_registry(party: Party) -> None:
    """Without a registry, the metrics are in prometheus-client's own, beside the process's metrics."""
    register(party.client())
    try:
        names = {name for name, _ in scrape(REGISTRY).samples}
    finally:
        unregister()
    assert {"cometchat_connects_total", "python_info"} <= names
    assert "cometchat_connects_total" not in {name for name, _ in scrape(REGISTRY).samples}


def test_a_registry_is_released(party: Party) -> None:
    """This module keeps neither a registry nor the collector in it alive."""
    registry = CollectorRegistry()
    register(party.client(), registry=registry)
    gone = weakref.ref(registry)
    del registry
    gc.collect()
    assert gone() is None


def test_a_collector_by_hand(party: Party, registry: CollectorRegistry) -> None:
    """CometChatCollector can be registered like any collector."""
    collector = CometChatCollector()
    registry.register(collector)
    collector.add(party.client(), "mine")
    assert scrape(registry).value("cometchat_connects_total", client="mine") == 0
    collector.remove("mine")
    assert scrape(registry).samples == {}


# The cost of a scrape.


def test_a_scrape_waits_for_no_lock_of_the_connection(party: Party, registry: CollectorRegistry) -> None:
    """A scrape ends while other threads hold the client's lock, the outbox's and the session store's turn."""
    client, _ = party.connected()
    register(client, registry=registry)
    core: Any = client._core
    locks = [client._registry.lock, core.outbox_store._lock, core.account._store._turn]
    for lock in locks:
        assert lock.acquire(timeout=DEADLINE)
    try:
        seen = finished(*in_thread(lambda: scrape(registry)))
    finally:
        for lock in locks:
            lock.release()
    assert seen.status == "connected"


def test_an_unread_scrape_blocks_nothing(party: Party, sandbox: Sandbox, registry: CollectorRegistry) -> None:
    """A scrape that is begun and not read to its end blocks nothing: pings are answered, and a loss is repaired."""
    client, recorder = party.connected()
    register(client, registry=registry)
    stuck = iter(registry.collect())
    assert next(stuck).name == "cometchat_connection_status"
    assert client.ping(DEADLINE) > 0
    sandbox.drop_connections()
    recorder.wait_for("on_connected", 2)
    assert {family.name for family in stuck} >= {"cometchat_drops", "cometchat_connects"}


def test_a_closed_client_keeps_its_last_numbers(party: Party, registry: CollectorRegistry) -> None:
    """After close() it is disconnected, with its last numbers, until it is unregistered."""
    client, _ = party.connected()
    register(client, registry=registry)
    client.close()
    seen = scrape(registry)
    assert seen.status == "disconnected" and seen.value("cometchat_connects_total") == 1


# Processes.


def run(program: str, **environment: str) -> Any:
    """Return the JSON that a Python program prints, in a separate process, with warnings as errors."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().startswith("prometheus_")}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=50,
        env={**kept, **environment},
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


MULTIPROCESS = """
import json
from prometheus_client import CollectorRegistry, Counter, generate_latest, multiprocess
from cometchat import CometChat, CometChatException, Member, MessageListener, Seat, SharedStatus
from cometchat.contrib.prometheus import register

try:
    register(CometChat)
except CometChatException as error:
    refused = [error.code, error.name, error.message]

def names(registry):
    return sorted({line.split("{")[0].split(" ")[0] for line in generate_latest(registry).decode().splitlines()
                   if not line.startswith("#")})

Counter("mine", "Counted by prometheus-client.").inc()
shared = CollectorRegistry()
multiprocess.MultiProcessCollector(shared)
own = CollectorRegistry()
register(CometChat, registry=own)
print(json.dumps([refused, names(shared), names(own)]))
"""


@pytest.mark.parametrize("variable", ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"])
def test_multiprocess_mode_is_refused_plainly(tmp_path: Path, variable: str) -> None:
    """In prometheus-client's multiprocess mode the default registry is refused with the reason.

    A separate one works.
    """
    program = MULTIPROCESS
    if variable.islower():  # deprecated there, with a warning
        program = "import warnings; warnings.simplefilter('ignore')\n" + program
    refused, shared, own = run(program, **{variable: str(tmp_path)})
    assert refused[:2] == ["INVALID_REGISTRY", "registry"]
    assert "PROMETHEUS_MULTIPROC_DIR" in refused[2]
    assert shared == ["mine_total"]
    assert "cometchat_connection_status" in own


FORK = """
import json, os, signal
from prometheus_client import CollectorRegistry, generate_latest
from cometchat import Client
from cometchat.contrib import opentelemetry, prometheus
from cometchat.contrib.prometheus import register
from cometchat.sandbox import Sandbox

registry = CollectorRegistry()

def connects():
    for line in generate_latest(registry).decode().splitlines():
        if line.startswith("cometchat_connects_total"):
            return float(line.split()[-1])

import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and newer: a fork of a process with threads
with Sandbox() as sandbox, Client(sandbox.app_id, sandbox.settings(connect_after_fork=False)) as client:
    client.login("cometchat-uid-1", sandbox.auth_key)
    client.connect(10)
    register(client, registry=registry)
    ours, theirs = os.pipe()
    with prometheus._lock, opentelemetry._lock:  # as by another thread, at that moment
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # it must not outlive the test
            register(client, registry=registry)
            opentelemetry.instrument(client).close()
            os.write(theirs, str(connects()).encode())
            os._exit(0)
    os.waitpid(child, 0)
    print(json.dumps([connects(), float(os.read(ours, 100))]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_the_child_of_a_fork_counts_for_itself() -> None:
    """A worker forked after register() shows its own numbers, from 0, and no lock of that moment stays locked."""
    assert run(FORK) == [1.0, 0.0]


@pytest.fixture(autouse=True)
def default_registry_is_clean() -> Iterator[None]:
    """Assert that no test leaves a client in the default registry."""
    yield
    assert not [name for name, _ in scrape(REGISTRY).samples if name.startswith("cometchat_")]
