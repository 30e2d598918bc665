"""Figures of the outbox: durable puts, and drained items, against sqlite3 with the same commits."""

from __future__ import annotations

from typing import Any, Dict

from .connection import probe
from .harness import ROOT, Context, Measured, Result, Server, at_least, ratio


def outbox(context: Context) -> Result:
    """Measure with a file on the disk of this checkout.

    Each put is one commit (WAL), and the disk has it when the put returns.
    """
    items = 30 if context.quick else 500
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    runs = []
    with Server() as server:
        for number in range(context.runs):
            runs.append(probe(server, "outbox", items=items, folder=str(folder), bare_first=number % 2 == 1))
            context.say(f"{items} items")
    of = {name: [run[name] for run in runs] for name in runs[0]}
    rows = [
        at_least("outbox, durable puts/s: to bare sqlite3", 0.8, ratio(of["put"], of["bare put"]).median),
        at_least(
            "outbox, drained items/s: to bare sqlite3 and requests", 0.8, ratio(of["drain"], of["bare drain"]).median
        ),
    ]
    numbers = {
        "puts/s": Measured.of(of["put"]),
        "bare sqlite3, puts/s": Measured.of(of["bare put"]),
        "drained/s, over HTTP": Measured.of(of["drain"]),
        "bare sqlite3 and requests, drained/s": Measured.of(of["bare drain"]),
    }
    return Result(rows, numbers, "/s")


FIGURES: Dict[str, Any] = {"outbox": outbox}
