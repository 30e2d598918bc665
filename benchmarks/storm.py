"""Figures of many clients in one process: all are dropped at once, all log in, a server returns, all are idle."""

from __future__ import annotations

import statistics
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from .connection import probe
from .harness import Context, Measured, Result, Row, Server, at_most, ratio
from .idle import crowd_of, line_through
from .probe import raise_descriptor_limit

#: Clients of the storms.
CLIENTS = (100, 300, 500, 1000, 2000, 3000, 5000)

#: The same for --quick.
FEW_CLIENTS = (2, 5)

#: A client holds at most so many open files: its WebSocket, its HTTP connection and one while it connects.
_FILES = 3

#: Open files of the process besides those of its clients.
_OTHER_FILES = 200

#: Runs of a storm with more than 1,000 clients: it takes long to connect them.
_FEWER_RUNS = 3

#: Maximum time of a storm, in seconds; and of its process, with the logins before it.
_LIMIT, _PROCESS_LIMIT = 60.0, 240.0

#: Maximum default wait between two attempts, in seconds. A server that has been away for long sees each client once
#: in this time.
_SPREAD = 30.0

#: The documented rate: maximum share of the clients whose attempts arrive in the same second. A client waits 15 s on
#: average, so a fifteenth of them arrive in a usual second.
_PEAK = 0.1

SDK, BARE = "cometchat", "bare websocket-client"

#: The numbers that the plot shows.
ALL_BACK, CPU_EACH = "all back, s", "CPU of a reconnect, ms"


class Storm(NamedTuple):
    """One run.

    :ivar last: seconds until the last client was back; the limit if not all came back.
    :ivar cpu: of one reconnect, in milliseconds; None if not all came back.
    :ivar view: milliseconds of the view, p99; None if there was no request.
    """

    back: int
    median: float
    last: float
    cpu: Optional[float]
    view: Optional[float]


def key(who: str, clients: int, what: str) -> str:
    """Return the name of a number."""
    return f"{who}, {clients} clients: {what}"


def storm(context: Context) -> Result:
    """Measure how all clients of a process come back after a drop, with default settings."""
    counts = list(FEW_CLIENTS) if context.quick else within_reach(CLIENTS, context.say)
    found: Dict[str, Dict[int, List[Storm]]] = {SDK: {}, BARE: {}}
    names = [SDK, BARE]
    for count in counts:
        for _ in range(context.runs if count <= 1000 else min(context.runs, _FEWER_RUNS)):
            for name in list(names):
                run = _storm(name, count, context)
                found[name].setdefault(count, []).append(run)
                if name == BARE and run.back < count:
                    names.remove(BARE)  # it has reached its limit
        for name in found:
            if count in found[name]:
                context.say(f"{name}, {count} clients: {_shown(found[name][count])}")
    return Result(_rows(found, counts), _numbers(found), "")


def within_reach(counts: Sequence[int], say: Callable[[str], None]) -> List[int]:
    """Return the counts of clients that this machine's limit of open files allows, and report the limit."""
    limit = raise_descriptor_limit()
    most = (limit - _OTHER_FILES) // _FILES
    reached = [count for count in counts if count <= most]
    say(f"a process may open {limit} files, {_FILES} for each client: at most {most} clients")
    if len(reached) < len(counts):
        say(f"not measured: {', '.join(str(count) for count in counts if count > most)} clients")
    return reached


def _storm(name: str, count: int, context: Context) -> Storm:
    limit = 20.0 if context.quick else _LIMIT
    options: Dict[str, Any] = {"clients": count, "bare": name == BARE, "limit": limit}
    if context.quick:
        options["rest"] = 0.2
    with Server("benchmarks.sandbox") as server:
        jwt = server.about["jwt"]
        try:
            run = probe(server, "storm", "benchmarks.storm_probe", most=_PROCESS_LIMIT, jwt=jwt, **options)
        except RuntimeError as error:  # its process did not end, so it missed its targets
            context.say(f"{name}, {count} clients: {error}")
            return Storm(0, limit, limit, None, None)
    waits, view = run["waits"], sorted(run["view"])
    whole = len(waits) == count
    return Storm(
        len(waits),
        waits[(count - 1) // 2] if len(waits) > count // 2 else limit,
        waits[-1] if whole else limit,
        run["cpu"] / count * 1000 if whole else None,
        view[len(view) * 99 // 100] if view else None,
    )


def _rows(found: Dict[str, Dict[int, List[Storm]]], counts: Sequence[int]) -> List[Row]:
    sdk, bare, largest = found[SDK], found[BARE], counts[-1]
    both = [count for count in counts if count in bare and all(each.cpu for each in sdk[count] + bare[count])]
    rows = []
    if both:
        ratios = {count: ratio(_of(sdk[count], "cpu"), _of(bare[count], "cpu")).median for count in both}
        worst = max(both, key=lambda count: ratios[count])
        title = f"CPU of a reconnect, {both[0]} to {both[-1]} clients dropped at once: to {BARE}, highest (at {worst})"
        rows.append(at_most(title, 2, ratios[worst]))
    for count, target in {1000: 2.0, largest: 10.0}.items():
        if count in sdk:
            found_last = _median(sdk[count], "last")
            rows.append(at_most(f"{count} clients dropped at once: all back", target, found_last, "s"))
    whole = [count for count in counts if all(each.back == count for each in sdk[count])]
    if whole:
        late = statistics.median(each.last / each.median for each in sdk[whole[-1]])
        rows.append(at_most(f"{whole[-1]} clients dropped at once: the last one, to the median one", 2, late))
        _, fit = line_through([(count, _median(sdk[count], "last")) for count in whole])
        title = f"time until all are back, {whole[0]} to {whole[-1]} clients: linear, r squared of the fit"
        rows.append(Row(title, ">= 0.95", fit, f"{fit:.4f}", fit >= 0.95))
    for count in sorted({1000, largest} & set(sdk)):
        if _of(sdk[count], "view"):
            title = f"1 ms of work in another thread while {count} clients come back, p99"
            rows.append(at_most(title, 50, _median(sdk[count], "view"), "ms"))
    return rows


def _numbers(found: Dict[str, Dict[int, List[Storm]]]) -> Dict[str, Measured]:
    whats = {"back": "came back", "median": "median back, s", "last": ALL_BACK, "cpu": CPU_EACH}
    whats["view"] = "1 ms of work in another thread, p99, ms"
    numbers = {}
    for name, storms in found.items():
        for count, runs in storms.items():
            for what, title in whats.items():
                if _of(runs, what):
                    numbers[key(name, count, title)] = Measured.of(_of(runs, what))
    return numbers


def _of(runs: Sequence[Storm], what: str) -> List[float]:
    return [value for value in (getattr(run, what) for run in runs) if value is not None]


def _median(runs: Sequence[Storm], what: str) -> float:
    return statistics.median(_of(runs, what))


def _shown(runs: Sequence[Storm]) -> str:
    lowest = min(run.back for run in runs)
    return f"{lowest} back, the last one after {_median(runs, 'last'):.2f} s"


def login(context: Context) -> Result:
    """Measure login and connect of a thousand clients, which stay connected, against the same calls bare."""
    clients = 5 if context.quick else 1000
    took: Dict[str, List[float]] = {}
    for _ in range(context.runs):
        for threads in (1, 16):
            for name in (SDK, BARE):
                with Server("benchmarks.sandbox") as server:
                    options = {"clients": clients, "threads": threads, "bare": name == BARE}
                    run = probe(server, "logins", "benchmarks.storm_probe", **options)
                took.setdefault(_login_key(name, threads), []).append(run["took"] / clients * 1000)
        context.say(f"{clients} logins, in sequence and from 16 threads")
    rows = [
        at_most(
            f"login + connect of {clients} clients, {_HOW[threads]}: to the same calls bare",
            1.5,
            ratio(took[_login_key(SDK, threads)], took[_login_key(BARE, threads)]).median,
        )
        for threads in _HOW
    ]
    return Result(rows, {name: Measured.of(values) for name, values in took.items()}, "ms")


_HOW = {1: "in sequence", 16: "from 16 threads"}


def _login_key(name: str, threads: int) -> str:
    return f"{'login + connect' if name == SDK else 'the same calls, bare'}, {_HOW[threads]}"


def returning(context: Context) -> Result:
    """Measure the attempts in a second that reach a server after its return, if the clients wait as after an hour."""
    clients, spread = (20, 2.0) if context.quick else (1000, _SPREAD)
    options = {"clients": clients, "spread": spread, "away": spread / 2, "limit": _LIMIT}
    highest, last = [], []
    for _ in range(min(context.runs, _FEWER_RUNS)):
        with Server("benchmarks.sandbox") as server:
            run = probe(server, "returns", "benchmarks.storm_probe", most=_PROCESS_LIMIT, **options)
            times = sorted(server.do("attempts")["times"])
        highest.append(float(most_in_a_second(times)))
        last.append(run["waits"][-1] if len(run["waits"]) == clients else _LIMIT)
        context.say(f"{len(run['waits'])} of {clients} back, {highest[-1]:g} attempts in the highest second")
    title = f"a server returns after long, {clients} clients in one process: attempts in the highest second"
    row = at_most(title, _PEAK * clients * _SPREAD / spread, statistics.median(highest), "attempts", 0)
    numbers = {"attempts in the highest second": Measured.of(highest), "until all are back, s": Measured.of(last)}
    return Result([row], numbers, "")


def most_in_a_second(times: Sequence[float]) -> int:
    """Return the highest number of times within one second. The times are sorted."""
    most = first = 0
    for place, moment in enumerate(times):
        while moment - times[first] >= 1.0:
            first += 1
        most = max(most, place - first + 1)
    return most


def crowd(context: Context) -> Result:
    """Measure five thousand idle clients in one process."""
    clients = 20 if context.quick else within_reach([1000, 3000, 5000], context.say)[-1]
    with Server("benchmarks.sandbox") as server:
        return crowd_of(server, context, clients, memory=70, cpu=10)


FIGURES: Dict[str, Any] = {
    "storm": storm,
    "storm-login": login,
    "storm-return": returning,
    "storm-crowd": crowd,
}
