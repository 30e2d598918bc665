"""Figures of a connection's life: connecting again, disconnecting, logging in."""

from __future__ import annotations

import json
import statistics
import subprocess
import threading
from typing import Any, Dict, List

from .harness import Context, Measured, Result, Server, at_most, ratio, start

#: Every state in which disconnect() can be called, with the server's behaviour that leads to it.
STATES: Dict[str, Dict[str, str]] = {
    "idle": {},
    "opening": {"upgrade": "silent"},
    "authenticating": {"auth": "silent"},
    "renewing": {"auth": "refuse", "me": "silent"},
    "online": {},
    "throttled": {"mode": "NO_TRANSIENT"},
    "backoff": {"upgrade": "refuse"},
}


def probe(
    server: Server, name: str, module: str = "benchmarks.probe", most: float = 900.0, **options: Any
) -> Dict[str, Any]:
    """Run one measurement of a module, and send the server the commands that it asks for, such as "drop".

    :param most: maximum time, in seconds, after which the probe's process is killed.
    :raises RuntimeError: the process ended without an answer.
    """
    process = start(module, name, str(server.port), json.dumps(options), stdin=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    killer = threading.Timer(most, process.kill)
    killer.daemon = True
    killer.start()
    try:
        with process, process.stdout, process.stdin:
            for line in process.stdout:
                if line.startswith("{"):
                    answer: Dict[str, Any] = json.loads(line)
                    return answer
                process.stdin.write(f"{server.do(line.strip())['at']}\n")
                process.stdin.flush()
    finally:
        killer.cancel()
    raise RuntimeError(f"the probe {name} gave no answer")


def reconnect(context: Context) -> Result:
    """Measure the time from a drop until the client is back, with and without waits, against bare calls.

    The server stays up. The bare calls are a connect and an auth.
    """
    with Server() as server:
        clients, rounds = (4, 1) if context.quick else (40, context.runs)
        waits = probe(server, "reconnects", clients=clients, rounds=rounds)["waits"]
        context.say("with the default waits")
        shares = [probe(server, "own_share", times=5 if context.quick else 40) for _ in range(context.runs)]
    per_run = [statistics.median(waits[at : at + clients]) for at in range(0, len(waits), clients)]
    sdk = [statistics.median(share["sdk"]) * 1000 for share in shares]
    bare = [statistics.median(share["bare"]) * 1000 for share in shares]
    over = [one - other for one, other in zip(sdk, bare)]
    rows = [
        at_most("reconnect after a drop, p50", 0.6, statistics.median(waits), "s"),
        at_most("reconnect: over a bare connect and auth", 10, statistics.median(over), "ms"),
    ]
    numbers = {
        "with the default waits, p50": Measured.of([wait * 1000 for wait in per_run]),
        "without a wait, p50": Measured.of(sdk),
        "bare connect and auth, p50": Measured.of(bare),
    }
    return Result(rows, numbers, "ms")


def disconnect(context: Context) -> Result:
    """Measure ``disconnect()`` in every state in which it can be called."""
    times = 5 if context.quick else 40
    took: Dict[str, List[List[float]]] = {state: [] for state in STATES}
    with Server() as server:
        for _ in range(context.runs):
            for state, how in STATES.items():
                login_first = {key: value for key, value in how.items() if key == "mode"}
                server.do("behave", **login_first)
                took[state].append(_disconnects(server, state, how, times))
            context.say("all states")
    p99 = {state: [_p99(run) * 1000 for run in runs] for state, runs in took.items()}
    every = [seconds * 1000 for runs in took.values() for run in runs for seconds in run]
    worst = max(p99, key=lambda state: statistics.median(p99[state]))
    rows = [
        at_most("disconnect(), all states together, p99", 20, _p99(every), "ms"),
        at_most(f"disconnect(), the slowest state ({worst}), p99", 20, statistics.median(p99[worst]), "ms"),
    ]
    return Result(rows, {f"{state}, p99": Measured.of(values) for state, values in p99.items()}, "ms")


def _disconnects(server: Server, state: str, how: Dict[str, str], times: int) -> List[float]:
    process = start(
        "benchmarks.probe",
        "disconnects",
        str(server.port),
        json.dumps({"state": state, "times": times}),
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    with process, process.stdout, process.stdin:
        assert process.stdout.readline() == "drop\n"  # the client is logged in
        server.do("behave", **how)
        process.stdin.write("0\n")
        process.stdin.flush()
        took: List[float] = json.loads(process.stdout.readline())["took"]
    server.do("behave")
    return took


def login(context: Context) -> Result:
    """Measure login, connect and close of new clients, and count the HTTP connections of many logins of one client."""
    times = 5 if context.quick else 40
    with Server() as server:
        runs = []
        for _ in range(context.runs):
            runs.append(probe(server, "logins", times=times))
            context.say(f"{times} logins")
        before = server.do("counts")
        probe(server, "relogins", times=times)
        after = server.do("counts")
    sdk = [statistics.mean(run["sdk"]) * 1000 for run in runs]
    bare = [statistics.mean(run["bare"]) * 1000 for run in runs]
    # The server counts one WebSocket for each. The other connections are for HTTP.
    http = after["accepted"] - before["accepted"] - times
    rows = [
        at_most(
            f"login + connect + close, {times * context.runs} times: to the same calls bare",
            1.2,
            ratio(sdk, bare).median,
        ),
        at_most(f"HTTP connections for {times} logins of one client", 2, http, "connections", 0),
    ]
    numbers = {
        "login + connect + close": Measured.of(sdk),
        "the same calls, bare": Measured.of(bare),
    }
    return Result(rows, numbers, "ms")


def _p99(values: List[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


FIGURES: Dict[str, Any] = {"reconnect": reconnect, "disconnect": disconnect, "login": login}
