"""A real network between two hosts: each failure is found in time and reported truthfully, and then all is back."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import pytest
from integration.conftest import finished, in_thread

from .conftest import SOAK
from .network_hosts import CLIENT, MOVED, SERVER, Hosts, Unavailable
from .network_program import Program

#: Seconds between two pings. Short, so that a dead connection is found soon. All else, ``reconnect_wait`` too, is the
#: default.
QUICK = {"ping_interval": 1.0, "pong_timeout": 0.5}

#: The SDK's defaults.
DEFAULTS = {"ping_interval": 15.0, "pong_timeout": 3.0}

#: Tolerance for a busy machine, in seconds.
SLACK = 0.5

#: The promised time of the return, in seconds.
BACK = 2.0

#: In seconds. A return takes at most the longest wait and an attempt, even if the client does not notice it.
PATIENCE = 45.0

#: The server's name, for clients that have one. The server's host looks it up, and cannot be reached during an outage.
NAME = "sandbox.example"

#: An attempt that ends during the outage, and then a wait that is longer than any outage of these tests.
LONG_WAIT = {**QUICK, "connect_timeout": 2.0, "waits": [0.1, PATIENCE]}

Plan = List[Tuple[str, Dict[str, Any], float]]

#: The outages: a name, the client's settings, and the duration in seconds. With 0, the outage lasts until the client
#: has found it, and a moment longer.
PLAN: Plan = [("quick", QUICK, 0.0), ("long wait", LONG_WAIT, 6.0)]
if SOAK:
    PLAN += [("quick", QUICK, 0.0)] * 9 + [(f"{seconds:g} s", DEFAULTS, seconds) for seconds in (5.0, 20.0, 60.0)] * 2
    PLAN += [("75 s, quick", QUICK, 75.0)] * 2 + [("long wait", LONG_WAIT, 6.0)] * 4

#: Maximum time of this module's tests, in seconds.
LIMIT = 1200.0 if SOAK else 120.0

pytestmark = pytest.mark.timeout(LIMIT)

CALLBACKS = ("on_disconnected", "on_connecting", "on_connected")


class Cut(NamedTuple):
    """A way to lose the network, and to get it back.

    :ivar named: the client has the server's name, and loses the name server as well.
    """

    name: str
    cut: Callable[[Hosts], None]
    mend: Callable[[Hosts], None]
    named: bool = False


CUTS = [
    Cut("the cable is pulled", Hosts.pull_cable, Hosts.plug_cable),
    Cut("the device is down", Hosts.take_device_down, Hosts.take_device_up),
    Cut("nothing gets through", lambda hosts: hosts.drop(SERVER, CLIENT), Hosts.pass_all),
    Cut("nothing gets to the server", lambda hosts: hosts.drop(SERVER), Hosts.pass_all),
    Cut("nothing gets to the client", lambda hosts: hosts.drop(CLIENT), Hosts.pass_all),
    Cut("no name is found", lambda hosts: hosts.drop(SERVER, CLIENT), Hosts.pass_all, named=True),
]


class Outcome(NamedTuple):
    """The times of one outage, in seconds.

    :ivar found: from the cut to ``on_disconnected``. None if the connection survived the outage.
    :ivar back: from the network's return, or from a later ``on_disconnected``, to ``on_connected`` or the answer to a
        ping.
    :ivar late: the time between the network's return and the moment at which the connection was found dead.
    """

    found: Optional[float]
    back: float
    late: float


class World:
    """Two hosts, the sandbox on one and a client on the other. Messages both ways are counted.

    :param resolver: the client's ``resolv.conf``, if it has the server's name in place of its address.
    """

    def __init__(self, resolver: Optional[Path] = None) -> None:
        self.hosts = Hosts()
        self._name = SERVER if resolver is None else NAME
        try:
            if resolver is not None:
                resolver.write_text(f"nameserver {SERVER}\n")
                self.hosts.program(SERVER, "network_names.py", SERVER)
            self.server: Program = self.hosts.program(SERVER, "network_server.py", SERVER)
            self.client: Program = self.hosts.program(CLIENT, "network_client.py", resolver=resolver)
        except BaseException:
            self.hosts.close()
            raise
        self.posted: List[str] = []
        self.put: List[str] = []
        self.began = 0.0

    def start(self, **settings: Any) -> None:
        """Connect a client with these settings, and check that messages pass. Later messages can then be missed."""
        self.client.call("start", **self.server.call("where", known_as=self._name), **settings)
        self.exchange()
        self.check_messages()
        self.began = time.monotonic()

    def exchange(self) -> None:
        """Send a message each way. The network may be down."""
        self.posted.append(f"to the client {len(self.posted)}")
        self.server.call("post", text=self.posted[-1])
        self.put.append(f"to the server {len(self.put)}")
        self.client.call("put", text=self.put[-1])

    def check_messages(self, *, in_order: bool = True) -> None:
        """Check that all of them arrived, once, and in order.

        :param in_order: False if the question for missed messages may fail for 5 s, after which live ones go first.
        """
        self.client.wait_until(lambda: self.client.count("message") >= len(self.posted), "message", PATIENCE)
        assert self.client.call("flush", timeout=PATIENCE)
        texts = [event["text"] for event in self.client.events("message")]
        assert texts == self.posted or (not in_order and sorted(texts) == sorted(self.posted))
        assert self.server.call("texts") == self.put

    def callbacks(self) -> List[str]:
        """Return the callbacks of the connection's status since the start."""
        return [event["event"] for event in self.client.events(*CALLBACKS) if event["time"] > self.began]

    def status_at(self, moment: float) -> str:
        """Return the result of get_connection_status() at that time."""
        said = [event["status"] for event in self.client.events("status") if event["time"] <= moment]
        return str(said[-1])

    def stop(self) -> None:
        """End the client, and check that the server has no complaint about it."""
        self.client.call("close")
        assert self.server.call("violations") == []


@pytest.fixture
def world() -> Iterator[World]:
    """Yield a world. Skips the test if the machine does not permit it."""
    try:
        made = World()
    except Unavailable as error:
        pytest.skip(f"no separate network: {error}")
    yield made
    made.hosts.close()


def permitted(act: Callable[[], None]) -> None:
    """Change the network, or skip the test if the machine does not permit it."""
    try:
        act()
    except Unavailable as error:
        pytest.skip(str(error))


def for_seconds(seconds: float) -> None:
    """Return the text of an outage's duration."""
    threading.Event().wait(seconds)


def outage(world: World, cut: Cut, *, seconds: float = 0.0, longer: float = 0.0) -> Outcome:
    """Cut the network, and restore it.

    :param seconds: the duration. With 0, it lasts until the client has found it.
    :param longer: additional seconds.
    """
    client, callbacks = world.client, len(world.callbacks())
    lost, connected = client.count("on_disconnected"), client.count("on_connected")
    permitted(lambda: cut.cut(world.hosts))
    cut_at = time.monotonic()  # the commands take time on a busy machine
    world.exchange()
    if not seconds:
        client.wait_for("on_disconnected", after=lost)
    for_seconds(max(0.0, cut_at + seconds - time.monotonic()) + longer)
    world.exchange()
    mends_at = time.monotonic()  # the client may be back before the commands have ended
    cut.mend(world.hosts)
    mended_at = time.monotonic()
    if client.count("on_disconnected") == lost and client.call("ping", timeout=10) is not None:
        return Outcome(None, client.events("answer")[-1]["time"] - mended_at, 0.0)
    found_at = client.wait_for("on_disconnected", after=lost)["time"]
    back_at = client.wait_for("on_connected", after=connected, timeout=PATIENCE)["time"]
    assert world.callbacks()[callbacks:] == list(CALLBACKS)
    if found_at + 0.1 < mends_at:
        assert world.status_at(mends_at) == "connecting"
        told = [e["status"] for e in client.events("status") if found_at + 0.1 < e["time"] < min(back_at, mends_at)]
        assert "connected" not in told
    return Outcome(found_at - cut_at, back_at - max(mended_at, found_at), max(0.0, found_at - mended_at))


def live(cut: Cut, plan: Plan, folder: Path) -> Dict[str, List[Outcome]]:
    """Run outages of one kind, one after the other, in a separate world. Returns them by their name in the plan."""
    outcomes: Dict[str, List[Outcome]] = {}
    spread = random.Random(cut.name)
    world = World(folder / "resolv.conf" if cut.named else None)
    try:
        for name, settings, seconds in plan:
            world.start(**settings)
            # At any moment between two pings.
            for_seconds(spread.uniform(0.0, settings["ping_interval"]) if SOAK else 0.0)
            outcomes.setdefault(name, []).append(outage(world, cut, seconds=seconds, longer=0.0 if seconds else 0.7))
            world.check_messages()
            world.stop()
    finally:
        world.hosts.close()
    return outcomes


def test_a_dead_connection_is_found_in_time_and_back_soon(tmp_path: Path, figures: Callable[..., None]) -> None:
    """The heartbeat alone finds it, since neither side ends the connection.

    The status stays true, and no message is lost.

    All cuts run at the same time, each in a separate world, since they mostly wait.
    """
    running = {cut.name: in_thread(lambda cut=cut: live(cut, PLAN, tmp_path)) for cut in CUTS}  # type: ignore[misc]
    lives = {name: finished(*started, timeout=LIMIT) for name, started in running.items()}
    failed: Dict[str, BaseException] = {}
    for cut, outcomes in lives.items():
        try:
            if isinstance(outcomes, BaseException):
                raise outcomes
            check_life(cut, outcomes, figures)
        except BaseException as error:
            failed[cut] = error
    missing = [error for error in failed.values() if isinstance(error, Unavailable)]
    if len(failed) > len(missing):
        raise AssertionError(repr(failed)) from next(error for error in failed.values() if error not in missing)
    if missing:
        pytest.skip(f"no such network: {missing}")


def check_life(cut: str, outcomes: Dict[str, List[Outcome]], figures: Callable[..., None]) -> None:
    """Check that each outage was found, and each connection was back, in time."""
    for name, those in outcomes.items():
        found = [outcome.found for outcome in those if outcome.found is not None]
        back = [outcome.back for outcome in those if outcome.found is not None]
        held = [outcome.back for outcome in those if outcome.found is None]
        figures(**{f"{cut}, {name}: outages": len(those), f"{cut}: lost messages": 0})
        for key, seconds in (("found", found), ("back", back), ("held, answer", held)):
            if seconds:
                figures(**{f"{cut}, {name}: {key} s": round(max(seconds), 2)})
    settings_of = {name: settings for name, settings, _ in PLAN}
    for name, those in outcomes.items():
        interval, patience = settings_of[name]["ping_interval"], settings_of[name]["pong_timeout"]
        for outcome in those:
            assert (outcome.found or 0.0) <= interval + patience + SLACK
            # A connection that survived it answers when TCP sends again. That takes at most as long as the outage.
            assert outcome.back <= (BACK + SLACK if outcome.found is not None else patience + BACK)


def test_another_address_is_found_in_time_and_back_soon(world: World, figures: Callable[..., None]) -> None:
    """The client's address changes from one moment to the next, as after a change of networks."""
    old, new = CLIENT, MOVED
    founds, backs, delivered = [], [], []
    world.start(**QUICK)
    for cycle in range(1, (10 if SOAK else 1) + 1):
        # The count of attempts starts again once a connection has lived 10 s. Before that, the wait is longer.
        for_seconds(10.5 if cycle > 1 else 0.0)
        moved_at = time.monotonic()
        world.hosts.move_client(old, new)
        old, new = new, old
        on_its_way = cycle % 2 == 0
        if on_its_way:  # HTTP sends it again after it has waited 10 s for the answer
            world.exchange()
        found_at = world.client.wait_for("on_disconnected", after=cycle - 1)["time"]
        world.exchange()
        back_at = world.client.wait_for("on_connected", after=cycle, timeout=PATIENCE)["time"]
        world.exchange()
        founds.append(found_at - moved_at)
        backs.append(back_at - found_at)
        world.check_messages()
        if not on_its_way:  # not on a connection of the old address
            delivered.append(time.monotonic() - back_at)
    figures(**{"found s": round(max(founds), 2), "back s": round(max(backs), 2), "lost messages": 0})
    figures(**{"delivered s after": round(max(delivered), 2)})
    assert max(founds) <= sum(QUICK.values()) + SLACK
    assert max(backs) <= BACK
    assert max(delivered) <= BACK
    world.stop()


def test_a_connection_holds_where_a_third_of_the_packets_is_lost(world: World, figures: Callable[..., None]) -> None:
    """TCP repeats lost packets, and the client replaces a connection that looks dead. Each message arrives once."""
    seconds = 60.0 if SOAK else 3.0
    world.start(**DEFAULTS)
    permitted(lambda: world.hosts.drop(SERVER, CLIENT, fraction=0.3))
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        world.exchange()
        for_seconds(0.1)
    arrived = world.client.count("message")
    world.hosts.pass_all()
    mended_at = time.monotonic()
    world.check_messages(in_order=False)
    late = time.monotonic() - mended_at
    losses = world.client.count("on_disconnected")
    figures(**{"messages": len(world.posted), "arrived meanwhile": arrived, "reconnects": losses, "lost messages": 0})
    figures(**{"all there s after": round(late, 2)})
    assert arrived > 0
    assert world.client.events("status")[-1]["status"] == "connected"
    world.stop()


def test_a_connection_comes_up_and_holds_over_a_slow_line(world: World, figures: Callable[..., None]) -> None:
    """The delay is half a second for a round trip in the short form, and for each way in the long form."""
    one_way = 0.5 if SOAK else 0.25
    permitted(lambda: world.hosts.slow_down(one_way))
    began = time.monotonic()
    world.start(**DEFAULTS, **{"settings_refresh_interval": 0.0})
    up = time.monotonic() - began
    rounds = [world.client.call("ping") for _ in range(2)]
    world.exchange()
    world.check_messages()
    for_seconds(60.0 if SOAK else 0.0)
    rounds.append(world.client.call("ping"))
    figures(**{"up s": round(up, 2), "ping s": round(max(rounds), 3), "lost messages": 0})
    assert all(2 * one_way <= seconds < 2 * one_way + SLACK for seconds in rounds)
    assert world.callbacks() == [] and world.client.count("on_connected") == 1
    world.stop()
