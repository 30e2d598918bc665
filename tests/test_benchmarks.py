"""The benchmarks run, and docs/performance.rst has their results."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any, Dict

import pytest
from integration.conftest import eventually

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def benchmarks_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the benchmarks importable: they are a package of the checkout, and not installed."""
    monkeypatch.syspath_prepend(str(ROOT))


def quick() -> Any:
    from benchmarks.harness import Context

    return Context(1, True, lambda text: None)


def need(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (make bench has them)")


@pytest.mark.parametrize("without", [("orjson", "wsaccel"), ()])
def test_all_events_of_a_flood_are_counted(without: tuple[str, ...]) -> None:
    """The SDK reads a short flood from the benchmark's server. A rate is returned only if every event arrived."""
    from benchmarks import stream
    from benchmarks.harness import Server

    with Server() as server:
        assert stream.flood(server, "cometchat", 500, without) > 0
        assert stream.flood(server, "loop", 500, without) > 0


@pytest.mark.parametrize("name", ["websockets", "pysher", "slack", "signalr", "socketio", "mqtt"])
def test_each_peer_gets_the_same_events(name: str) -> None:
    """The server speaks each peer's protocol well enough for the peer to count every event."""
    from benchmarks import stream
    from benchmarks.harness import Server

    need({"slack": "slack_sdk", "signalr": "signalrcore", "mqtt": "paho"}.get(name, name))
    with Server() as server:
        assert stream.flood(server, name, 100) > 0


def test_the_payload_is_a_recorded_frame() -> None:
    """The server sends the presence frame that was recorded, with the same text in each envelope."""
    from benchmarks import dialects

    recorded = json.loads((ROOT / "tests" / "data" / "frames.json").read_text(encoding="utf-8"))
    assert dialects.PRESENCE == recorded["server_to_client"]["presence_online"]
    text = dialects.payload()
    for name in dialects.names():
        wire = dialects.encoded(name).decode("latin-1")
        assert (json.dumps(text)[1:-1] if name == "pusher" else text) in wire, name
        assert dialects.STAMP in dialects.encoded(name, stamped=True).decode("latin-1"), name


@pytest.mark.timeout(240)
def test_followers_are_measured_against_plain_subscribers() -> None:
    """Two followers of a leader over Redis get every event, and so do two processes with redis-py's pub/sub."""
    from benchmarks import followers

    need("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    result = followers.FIGURES["followers-8-500"](quick())
    assert [row.name.partition(",")[0] for row in result.rows] == ["CPU of a follower", "median latency of followers"]
    assert all(row.target and row.value > 0 for row in result.rows)
    assert len(result.numbers) == 4 and all(number.low > 0 for number in result.numbers.values())


@pytest.mark.timeout(240)  # a busy machine may miss a target, which is not a failure
@pytest.mark.parametrize("name", ["latency", "listeners", "status", "import", "login", "crowd", "outbox"])
def test_a_figure_runs(name: str) -> None:
    """In its short form each figure returns its rows, with a target, and the numbers behind them."""
    from benchmarks import calls, connection, idle, outbox, stream

    figures = {**stream.FIGURES, **calls.FIGURES, **connection.FIGURES, **idle.FIGURES, **outbox.FIGURES}
    result = figures[name](quick())
    assert result.rows and all(row.shown for row in result.rows)
    assert result.numbers and all(number.low <= number.median <= number.high for number in result.numbers.values())


def test_a_line_through_points() -> None:
    """The function returns the slope of a straight line, and the quality of the fit for other points."""
    from benchmarks.idle import line_through

    assert line_through([(1, 5), (2, 7), (3, 9)]) == (2, 1)
    slope, fit = line_through([(1, 1), (2, 5), (3, 2)])
    assert slope == pytest.approx(0.5) and fit < 0.1


def data() -> Dict[str, Any]:
    from benchmarks import report

    found: Dict[str, Any] = report.load()
    return found


def test_the_page_has_the_results() -> None:
    """The table of docs/performance.rst follows from docs/performance.json, which has a whole run."""
    from benchmarks import __main__ as whole
    from benchmarks import report

    found = data()
    assert report.in_docs() == report.rst(found).strip()
    assert list(found["figures"]) == list(whole.FIGURES) and not found["quick"]
    assert report.PLOT.read_bytes().startswith(b"\x89PNG")


def test_reached_follows_from_the_numbers() -> None:
    """In the committed data, each row's verdict compares its number with its target. There are at least five runs."""
    assert data()["runs"] >= 5
    rows = [row for figure in data()["figures"].values() for row in figure["rows"] if row["reached"] is not None]
    assert len(rows) >= 20
    for row in rows:
        sign, limit = row["target"].split()[:2]
        assert row["reached"] == (row["value"] >= float(limit) if sign == ">=" else row["value"] <= float(limit)), row


@pytest.mark.skipif(sys.platform != "linux", reason="the figures of idle clients read /proc")
def test_idle_threads_are_watched() -> None:
    """A thread that wakes ten times counts as about ten wake-ups, and a sleeping thread does not count."""
    import threading

    from benchmarks.subjects import switches, wakeups_since

    stop, woken = threading.Event(), threading.Semaphore(0)
    turn = threading.Semaphore(0)

    def work() -> None:
        while not stop.is_set():
            turn.acquire()
            woken.release()

    thread = threading.Thread(target=work, name="test-waking", daemon=True)
    thread.start()
    before = switches()
    waits = before.get(str(thread.native_id), 0)
    for _ in range(10):
        turn.release()
        assert woken.acquire(timeout=10)
        # It waits again. Otherwise it would find the next turn without a wait.
        assert eventually(lambda: switches()[str(thread.native_id)] > waits)
        waits = switches()[str(thread.native_id)]
    seen = wakeups_since(before)
    stop.set()
    turn.release()
    thread.join(10)
    assert seen >= 10
