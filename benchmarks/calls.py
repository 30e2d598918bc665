"""Figures of single calls: reading the status, and the import."""

from __future__ import annotations

import os
import subprocess
import sys
import timeit
from typing import Any, Dict, List

from .harness import ROOT, Context, Measured, Result, alternate, at_most, ratio


class Plain:
    """An attribute that one method call reads."""

    def __init__(self) -> None:
        self.status = "connected"

    def get(self) -> str:
        """Return the attribute."""
        return self.status


def status(context: Context) -> Result:
    """Measure ``get_connection_status()`` of a client and of the shared client, before they are connected."""
    from cometchat import AppSettings, Client, CometChat

    number = 2_000 if context.quick else 200_000
    client = Client("app", AppSettings(region="us"))
    CometChat.init("app", AppSettings(region="us"))
    calls = {
        "Client.get_connection_status()": client.get_connection_status,
        "CometChat.get_connection_status()": CometChat.get_connection_status,
        "a plain attribute through one method call": Plain().get,
    }
    try:
        nanos = alternate(
            list(calls),
            lambda name: min(timeit.repeat(calls[name], number=number // 10, repeat=10)) / (number // 10) * 1e9,
            context.runs,
            context.say,
        )
    finally:
        client.close()
        CometChat.close()
    plain = nanos["a plain attribute through one method call"]
    rows = [
        at_most(f"{name}: to a plain attribute through one method call", 2.0, ratio(nanos[name], plain).median)
        for name in calls
        if name.startswith(("Client", "CometChat"))
    ]
    return Result(rows, {name: Measured.of(values) for name, values in nanos.items()}, "ns")


def imports(context: Context) -> Result:
    """Measure ``import cometchat`` and ``import websocket`` in new processes, without the interpreter's own start."""
    names = ["cometchat", "websocket", "requests"]
    millis: Dict[str, List[float]] = {name: [] for name in names}
    for _ in range(1 if context.quick else 3):  # the first imports write byte code, and warm the disk's cache
        for name in names:
            _import(name)
    repeats = 1 if context.quick else 5
    millis = alternate(names, lambda name: min(_import(name) for _ in range(repeats)), context.runs, context.say)
    rows = [
        at_most("import cometchat: to import websocket", 1.1, ratio(millis["cometchat"], millis["websocket"]).median)
    ]
    return Result(rows, {f"import {name}": Measured.of(values) for name, values in millis.items()}, "ms")


def _import(name: str) -> float:
    code = f"import time; a = time.perf_counter(); import {name}; print((time.perf_counter() - a) * 1000)"
    # Write byte code for any settings of this shell: an installed package has its byte code.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT, env=environment
    )
    return float(done.stdout)


FIGURES: Dict[str, Any] = {"status": status, "import": imports}
