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
    """Two followers get every event, and so do two processes with redis-py's pub/sub, with a leader and without."""
    from benchmarks import followers

    need("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    result = followers.FIGURES["followers-8-500"](quick())
    measured = ["CPU of a follower", "median latency of followers"]
    assert [row.name.partition(",")[0] for row in result.rows] == [each for each in measured for _ in range(2)]
    assert [row.name.partition(": ")[2] for row in result.rows] == list(followers.PEERS.values()) * 2
    assert all(row.target and row.value > 0 for row in result.rows)
    assert len(result.numbers) == 6 and all(number.low > 0 for number in result.numbers.values())


@pytest.mark.timeout(240)  # a busy machine may miss a target, which is not a failure
@pytest.mark.parametrize(
    "name",
    [
        *("latency", "listeners", "status", "import", "login", "crowd", "outbox"),
        *("storm", "storm-login", "storm-return", "storm-crowd"),
    ],
)
def test_a_figure_runs(name: str) -> None:
    """In its short form each figure returns its rows, with a target, and the numbers behind them."""
    from benchmarks import __main__ as whole

    result = {**whole.FIGURES, **whole.ON_REQUEST}[name](quick())
    assert result.rows and all(row.shown for row in result.rows)
    assert result.numbers and all(number.low <= number.median <= number.high for number in result.numbers.values())


def test_a_storm_that_does_not_end_is_a_missed_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no client comes back, and its process must be killed, the figure ends with missed targets."""
    from benchmarks import storm

    class NoServer:
        about = {"jwt": "jwt"}

        def __init__(self, module: str) -> None:
            pass

        __enter__ = __exit__ = lambda self, *error: self

    def dies(*arguments: Any, **options: Any) -> Dict[str, Any]:
        raise RuntimeError("the probe storm gave no answer")

    monkeypatch.setattr(storm, "Server", NoServer)
    monkeypatch.setattr(storm, "probe", dies)
    said: list[str] = []
    result = storm.storm(quick()._replace(say=said.append))
    most = max(storm.FEW_CLIENTS)
    assert result.rows and not any(row.reached for row in result.rows)
    assert result.numbers[storm.key(storm.SDK, most, "came back")].high == 0
    assert f"{storm.SDK}, {most} clients: the probe storm gave no answer" in said
    assert storm.key(storm.BARE, most, "came back") not in result.numbers  # a peer that failed has no larger storm


def test_a_probe_is_ended_after_its_time() -> None:
    """A probe whose process takes too long is killed, and reported."""
    from benchmarks.connection import probe
    from benchmarks.harness import Server

    with Server("benchmarks.sandbox") as server, pytest.raises(RuntimeError, match="the probe returns gave no answer"):
        probe(server, "returns", "benchmarks.storm_probe", most=0.1, clients=1, away=30, spread=1, limit=30)


def test_the_limit_of_open_files_bounds_a_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those storms are measured whose clients the process may have, and the run says which are not."""
    from benchmarks import storm

    monkeypatch.setattr(storm, "raise_descriptor_limit", lambda: 4096)
    said: list[str] = []
    assert storm.within_reach(storm.CLIENTS, said.append) == [100, 300, 500, 1000]
    assert said[0] == "a process may open 4096 files, 3 for each client: at most 1298 clients"
    assert said[1:] == ["not measured: 2000, 3000, 5000 clients"]


def test_the_highest_second() -> None:
    """It is found wherever it begins, and a second is shorter than two moments that are a second apart."""
    from benchmarks.storm import most_in_a_second

    assert most_in_a_second([]) == 0
    assert most_in_a_second([0.0, 1.0, 2.0]) == 1
    assert most_in_a_second([0.0, 0.9, 1.0, 1.5, 1.8, 5.0]) == 4


def storm_data(report: Any) -> Dict[str, Any]:
    """Data of a run that measured a storm only, as if on the machine of the page."""
    from benchmarks import storm
    from benchmarks.harness import Measured, Result

    numbers = {
        storm.key(who, count, what): Measured(float(count), 1.0, float(count))
        for who in (storm.SDK, storm.BARE)
        for count in storm.CLIENTS
        for what in (storm.ALL_BACK, storm.CPU_EACH)
    }
    page = data()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_PACKAGES", ())  # not all of them are installed with the tests
        found = report.data_of({"storm": Result([], numbers, "")}, page["runs"], False)
    return {**found, **{name: page[name] for name in ("python", "system", "cores", "packages")}}


def test_figures_join_the_page() -> None:
    """Figures that were measured alone replace or join those of the page, if the machine and versions are the same."""
    from benchmarks import report

    older, newer = data(), storm_data(report)
    joined = report.joined(older, newer)
    assert set(joined["figures"]) == {*older["figures"], "storm"}
    assert joined["figures"]["status"] == older["figures"]["status"]
    assert "image:: performance-storm.png" in report.rst(joined)[0]
    assert "performance-storm.png" not in report.rst({**joined, "figures": {"status": joined["figures"]["status"]}})[0]
    with pytest.raises(ValueError, match="renew all figures of the page: python changed"):
        report.joined(older, {**newer, "python": "3.0.0"})


def test_a_storm_has_a_plot(tmp_path: Path) -> None:
    """It is written beside the other one."""
    from benchmarks import report

    need("matplotlib")
    report.write(storm_data(report), tmp_path)
    assert (tmp_path / report.STORM_PLOT.name).read_bytes().startswith(b"\x89PNG")


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
    """The tables of docs/performance.rst follow from docs/performance.json, which has a whole run."""
    from benchmarks import __main__ as whole
    from benchmarks import report

    found = data()
    assert report.in_docs() == report.rst(found)
    assert set(whole.FIGURES) <= set(found["figures"]) <= {*whole.FIGURES, *whole.ON_REQUEST}
    assert not found["quick"]
    plots = [report.PLOT, *([report.STORM_PLOT] if "storm" in found["figures"] else [])]
    assert all(plot.read_bytes().startswith(b"\x89PNG") for plot in plots)


def test_both_parts_of_the_page_are_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--write-docs`` replaces the targets and the numbers, and leaves the text around them."""
    from benchmarks import report

    before = report.PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(report, "PAGE", tmp_path / "performance.rst")
    monkeypatch.setattr(report, "write", lambda found, folder: None)
    report.PAGE.write_text(before, encoding="utf-8")
    other = {**data(), "figures": {"status": data()["figures"]["status"]}}
    report.write_docs(other)
    assert report.in_docs() == report.rst(other)
    report.write_docs(data())
    assert report.PAGE.read_text(encoding="utf-8") == before


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
