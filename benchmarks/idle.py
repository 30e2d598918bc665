"""Figures of doing nothing: one idle client, and a thousand idle clients in one process."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from .connection import probe
from .harness import Context, Measured, Result, Row, Server, at_most, result_of, start
from .stream import TITLES

#: Seconds between two pings: the default, and that of the service's own client.
PING_INTERVAL = 15

_SUBJECTS = ("cometchat", "pysher", "slack", "signalr", "socketio", "mqtt", "app")


def idle(context: Context) -> Result:
    """Measure one connected client without traffic, for one ping interval in each run."""
    names = _SUBJECTS[:1] if context.quick else _SUBJECTS
    seconds = 2 if context.quick else PING_INTERVAL
    found: Dict[str, List[Dict[str, float]]] = {name: [] for name in names}
    with Server() as server:
        for _ in range(context.runs):
            # All at once: each subject is idle, and all share the time.
            running = {}
            for name in names:
                running[name] = start("benchmarks.subjects", name, str(server.port), str(seconds), "--idle")
            for name, process in running.items():
                found[name].append(result_of(process))
            context.say(f"{seconds} s of nothing")
    sdk = found["cometchat"]
    cpu = Measured.of([100 * run["cpu"] / run["seconds"] for run in sdk])
    rows = [
        at_most(
            "idle client: wake-ups in a ping interval", 2, Measured.of([run["wakeups"] for run in sdk]).median, "", 0
        ),
        at_most("idle client: CPU", 0.02, cpu.median, "% of a core", 4),
        at_most("idle client: threads", 2, max(run["threads"] for run in sdk), "", 0),
    ]
    numbers = {
        f"{TITLES[name]}, wake-ups in {seconds} s": Measured.of([run["wakeups"] for run in found[name]])
        for name in names
    }
    return Result(rows, numbers, "")


def crowd(context: Context) -> Result:
    """Measure a thousand clients in one process: the memory of one more client, and the CPU of all without traffic."""
    with Server() as server:
        return crowd_of(server, context, 20 if context.quick else 1000, memory=150, cpu=3)


def crowd_of(server: Server, context: Context, clients: int, memory: float, cpu: float) -> Result:
    """Measure some number of idle clients in one process. Each has a listener, except for one figure of the memory.

    :param memory: the target, in KiB for each client.
    :param cpu: the target, in % of a core.
    """
    windows, seconds = (1, 1) if context.quick else (context.runs, PING_INTERVAL)
    found = _probe_crowd(server, clients, windows, seconds, listens=True)
    slope, fit = line_through(found["memory"])
    without, _ = line_through(_probe_crowd(server, clients, 0, seconds, listens=False)["memory"])
    used = Measured.of([100 * share for share, _ in found["spent"]])
    linear = f"memory per further client, up to {clients}: linear, r squared of the fit"
    rows = [
        at_most(f"memory per further client, at {clients} clients", memory, slope, "KiB", 0),
        at_most(f"memory per further client without a listener, at {clients} clients", memory, without, "KiB", 0),
        Row(linear, ">= 0.99", fit, f"{fit:.4f}", fit >= 0.99),
        at_most(f"CPU at {clients} idle clients, 15 s ping", cpu, used.median, "% of a core"),
    ]
    numbers = {
        "CPU, % of a core": used,
        "wake-ups a second": Measured.of([wakeups for _, wakeups in found["spent"]]),
        **{f"RSS at {number} clients, MiB": Measured.of([rss / 1024]) for number, rss in found["memory"]},
    }
    return Result(rows, numbers, "")


def _probe_crowd(server: Server, clients: int, windows: int, seconds: float, *, listens: bool) -> Dict[str, Any]:
    found = probe(server, "crowd", clients=clients, windows=windows, seconds=seconds, listens=listens)
    if found["up"] != clients:
        raise RuntimeError(f"only {found['up']} clients were up at the end")
    return found


def line_through(points: List[Tuple[float, float]]) -> Tuple[float, float]:
    """Return the slope of the line of least squares, and r squared."""
    count = len(points)
    middle_x = sum(x for x, _ in points) / count
    middle_y = sum(y for _, y in points) / count
    xx = sum((x - middle_x) ** 2 for x, _ in points)
    xy = sum((x - middle_x) * (y - middle_y) for x, y in points)
    yy = sum((y - middle_y) ** 2 for _, y in points)
    return xy / xx, xy * xy / (xx * yy) if yy else 1.0


FIGURES: Dict[str, Any] = {"idle": idle, "crowd": crowd}
