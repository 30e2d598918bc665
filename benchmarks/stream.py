"""Figures of the stream: events per second, latency, one frame to many listeners."""

from __future__ import annotations

import timeit
from typing import Any, Dict, List, Sequence

from .harness import Context, Measured, Result, Row, Server, alternate, at_least, at_most, ratio, result_of, start

#: The subjects act as if these were not installed. They use the standard library's JSON, and websocket-client without
#: extras.
PLAIN = ("orjson", "wsaccel")

#: Names for the reader.
TITLES = {
    "cometchat": "cometchat",
    "app": "WebSocketApp",
    "app-trusting": "WebSocketApp, skip_utf8_validation",
    "loop": "websocket-client loop",
    "loop-trusting": "websocket-client loop, skip_utf8_validation",
    "websockets": "websockets.sync",
    "pysher": "Pysher",
    "slack": "slack_sdk Socket Mode",
    "signalr": "signalrcore",
    "socketio": "python-socketio",
    "mqtt": "paho-mqtt over WebSocket",
}

#: Events in a run. A slow subject gets fewer, so that each run takes about a second.
COUNT = 40_000
FEWER = {"pysher": 6_000, "slack": 5_000, "socketio": 3_000, "app": 15_000, "loop": 15_000, "mqtt": 15_000}


def flood(server: Server, name: str, count: int, without: Sequence[str] = ()) -> float:
    """Return the events per second of one subject, from the first sent byte to the last callback."""
    process = start("benchmarks.subjects", name, str(server.port), str(count), *_options(without))
    server.do("wait")
    started = server.do("flood", count=count)["started"]
    return float(count / (result_of(process)["last"] - started))


def events(context: Context) -> Result:
    """Measure presence events per second with the standard library's JSON."""
    return _events(context, PLAIN, "standard library JSON")


def events_speed(context: Context) -> Result:
    """Measure the same with the packages of cometchat[speed], and with wsaccel for the peers too."""
    return _events(context, (), "orjson, wsaccel")


def _events(context: Context, without: Sequence[str], how: str) -> Result:
    few = "cometchat", "app", "app-trusting", "websockets", "pysher"
    names = [name for name in TITLES if not context.quick or name in few]
    divisor = 20 if context.quick else 1
    with Server() as server:
        rates = alternate(
            names,
            lambda name: flood(server, name, FEWER.get(name, COUNT) // divisor, without),
            context.runs,
            context.say,
        )
    sdk = rates["cometchat"]
    over = {name: ratio(sdk, rates[name]).median for name in names}
    title = f"presence events/s, {how}"
    if without:
        rows = [at_least(f"{title}: to WebSocketApp", 1.2, over["app"])]
        rows += [at_least(f"{title}: to WebSocketApp with skip_utf8_validation", 1.2, over["app-trusting"])]
        rows += [at_least(f"{title}: to websockets.sync", 1.2, over["websockets"])]
        rows += [at_least(f"{title}: to Pysher", 1.6, over["pysher"])]
        if "slack" in over:
            rows += [at_least(f"{title}: to slack_sdk", 2.5, over["slack"])]
    else:
        rows = [at_least(f"{title}: to WebSocketApp", 1.6, over["app"])]
        rows += [at_least(f"{title}: to WebSocketApp with skip_utf8_validation", 1.6, over["app-trusting"])]
        rows += [at_least(f"{title}: to websockets.sync", 1.6, over["websockets"])]
    return Result(rows, {TITLES[name]: Measured.of(values) for name, values in rates.items()}, "events/s")


def latency(context: Context) -> Result:
    """Measure 500 events per second: the time from just before the server's send to the callback."""
    names = ["cometchat", "loop"] if context.quick else ["cometchat", "loop", "app", "websockets", "pysher", "slack"]
    count = 100 if context.quick else 1500
    found: Dict[str, List[Dict[str, float]]] = {name: [] for name in names}
    with Server() as server:

        def measure(name: str) -> float:
            options = ["--stamped", *_options(PLAIN)]
            process = start("benchmarks.subjects", name, str(server.port), str(count), *options)
            server.do("wait")
            server.do("pace", count=count, rate=500.0)
            sorted_latencies = result_of(process)["latencies"]
            at = {"p50": sorted_latencies[count // 2], "p99": sorted_latencies[count * 99 // 100]}
            found[name].append(at)
            return 0.0

        alternate(names, measure, context.runs, context.say)
    rows = []
    for point, target in (("p50", 1.5), ("p99", 2.0)):
        values = {name: [each[point] for each in found[name]] for name in ("cometchat", "loop")}
        rows.append(
            at_most(
                f"latency at 500/s, {point}: to the bare loop",
                target,
                ratio(values["cometchat"], values["loop"]).median,
            )
        )
    numbers = {
        f"{TITLES[name]}, {point}": Measured.of([each[point] for each in found[name]])
        for point in ("p50", "p99")
        for name in names
    }
    return Result(rows, numbers, "us")


def listeners(context: Context) -> Result:
    """Measure one frame to a hundred listeners.

    The SDK receives, decodes and delivers it. The reference is a loop that calls as many bound methods.
    """
    names = ["cometchat-100", "loop-100", "loop-trusting-100"]
    count = 500 if context.quick else 8_000
    with Server() as server:
        rates = alternate(names, lambda name: flood(server, name, count, PLAIN), context.runs, context.say)
    micros = {name: [1e6 / rate for rate in values] for name, values in rates.items()}
    told, bare = _dispatch(context)
    rows = [
        at_most("one frame to 100 listeners: to a bare loop", 1.3, ratio(micros[names[0]], micros[names[1]]).median),
        at_most(
            "one frame to 100 listeners: to a bare loop with skip_utf8_validation",
            1.3,
            ratio(micros[names[0]], micros[names[2]]).median,
        ),
        _only_shown("the dispatcher's part alone: to a for loop over 100 bound methods", ratio(told, bare).median),
    ]
    numbers = {
        "cometchat, a frame to 100 listeners": Measured.of(micros[names[0]]),
        "websocket-client loop, 100 calls": Measured.of(micros[names[1]]),
        "websocket-client loop, skip_utf8_validation, 100 calls": Measured.of(micros[names[2]]),
        "dispatcher, 100 listeners": Measured.of(told),
        "for loop, 100 bound methods": Measured.of(bare),
    }
    return Result(rows, numbers, "us")


def _dispatch(context: Context) -> "tuple[List[float], List[float]]":
    """Return the dispatcher's microseconds for an event that is decoded and queued, and those of a bare loop."""
    from cometchat import UserListener
    from cometchat._runtime._registry import ListenerRegistry
    from cometchat._runtime.delivery import Dispatcher, EventQueue
    from cometchat._runtime.delivery._queue import Event

    from .subjects import CROWD, Heard

    class Listener(UserListener, Heard):
        on_user_online = Heard.hear

    registry = ListenerRegistry()
    crowd = [Listener() for _ in range(CROWD)]
    for number, listener in enumerate(crowd):
        registry.add("user", str(number), listener)
    dispatcher = Dispatcher(registry, EventQueue(registry, 1000), "bench", lambda: "bench")
    event = Event(1000, "user", "on_user_online", (None,), 0, 230)
    methods = [listener.on_user_online for listener in crowd]

    def bare() -> None:
        for method in methods:
            method(None)

    number = 50 if context.quick else 2000
    told, plain = [], []
    for _ in range(context.runs):
        told.append(timeit.timeit(lambda: dispatcher._deliver(event), number=number) / number * 1e6)
        plain.append(timeit.timeit(bare, number=number) / number * 1e6)
    return told, plain


def _only_shown(name: str, value: float) -> Row:
    return Row(name, "", value, f"{value:.2f} x", None)


def _options(without: Sequence[str]) -> List[str]:
    return [option for name in without for option in ("--without", name)]


FIGURES: Dict[str, Any] = {
    "events": events,
    "events-speed": events_speed,
    "latency": latency,
    "listeners": listeners,
}
