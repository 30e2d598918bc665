"""Forks, under servers that fork, and by hand. Each process has a separate connection, and the first keeps its own.

The servers are the real ones, from their packages, as an operator starts them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Set, Tuple

import pytest
from integration.conftest import eventually

from cometchat.sandbox import Sandbox

from .conftest import SOAK
from .programs.running import DEADLINE, HERE, Program, Server, diary, environment, idle_workers, owners

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

WORKERS = 2
KILLS = 15 if SOAK else 1
RESTARTS = 10 if SOAK else 1
FORKS = 300 if SOAK else 12

UNDISTURBED = ["on_connecting", "on_connected"]

GUNICORN = [sys.executable, "-m", "gunicorn", "--bind", "unix:SOCKET", "--workers", str(WORKERS)]
UWSGI = [
    *(sys.executable, "-c", "import pyuwsgi; pyuwsgi.run()", "--http-socket", "SOCKET", "--master", "--die-on-term"),
    *("--processes", str(WORKERS), "--wsgi-file", str(HERE / "web_app.py"), "--need-app"),
]
CELERY = [
    *(sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--pool", "prefork", "-c", str(WORKERS)),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
]


def needs(module: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"{module} is not installed (it is for this Python and system)")


@contextlib.contextmanager
def served(command: List[str], processes: int, **settings: Any) -> Iterator[Tuple[Sandbox, Server]]:
    """Yield a sandbox and a server, once this many of the server's processes are connected."""
    with Sandbox() as sandbox, Server(sandbox, command, **{"ping_interval": 0.3, **settings}) as server:
        assert sandbox.wait_for_connections(processes, DEADLINE), f"{sandbox.connections} of {processes} connected"
        yield sandbox, server
        assert sandbox.violations == []


def each_has_its_own(sandbox: Sandbox, processes: Set[int]) -> bool:
    """Check that every process has one WebSocket, which no other process has."""
    held = list(owners(sandbox, processes).values())
    return all(len(pids) == 1 for pids in held) and {pid for pids in held for pid in pids} == processes


def check_workers(server: Server, pids: Set[int], master: int) -> None:
    """Check over HTTP that each worker has a working connection and its own threads."""
    for pid in pids:
        answer = server.ask(pid)
        assert "error" not in answer, (answer, server.log())
        assert answer["status"] == "connected"
        assert any(name.startswith("cometchat-connection-") for name in answer["threads"]), answer
        assert any(name.startswith("cometchat-dispatcher-") for name in answer["threads"]), answer
        assert answer["imported_in"] == (master or pid)


def kill_and_see_replaced(sandbox: Sandbox, server: Server, connections: int) -> Set[int]:
    """Kill a worker with SIGKILL. The server starts another one, which connects. Returns the workers."""
    victim = min(server.workers())
    return see_replaced(sandbox, server, connections, lambda: os.kill(victim, signal.SIGKILL))


def see_replaced(sandbox: Sandbox, server: Server, connections: int, kill: Callable[[], object]) -> Set[int]:
    before, attempts = server.workers(), len(sandbox.attempts)
    kill()
    assert sandbox.wait_for_attempts(attempts + 1, DEADLINE), server.log()
    assert sandbox.wait_for_connections(connections, DEADLINE)
    after = server.workers()
    assert len(after) == len(before) and len(after - before) == 1
    return after


# gunicorn


@needs("gunicorn")
@pytest.mark.parametrize("kind", ["sync", "gthread"] if SOAK else ["gthread"])
def test_gunicorn_with_preload_gives_each_worker_its_own_connection(kind: str, figures: Any) -> None:
    """A worker in place of a killed one has its own connection too.

    The master's connection lives to its end, with a close frame.
    """
    command = [*GUNICORN, "--worker-class", kind, "--preload", "web_app:application"]
    with served(command, 1 + WORKERS) as (sandbox, server):
        everyone = server.workers() | {server.pid}
        assert eventually(lambda: each_has_its_own(sandbox, everyone)), owners(sandbox, everyone)
        check_workers(server, server.workers(), server.pid)
        for _ in range(KILLS):
            everyone = kill_and_see_replaced(sandbox, server, 1 + WORKERS) | {server.pid}
        assert eventually(lambda: each_has_its_own(sandbox, everyone)), owners(sandbox, everyone)
        check_workers(server, server.workers(), server.pid)
        assert server.diary()[server.pid] == UNDISTURBED
        assert len(sandbox.attempts) == 1 + WORKERS + KILLS
        assert sandbox.close_codes == [1006] * KILLS
        seconds = server.terminate()
        assert sandbox.wait_for_connections(0)
        assert sandbox.close_codes == [1006] * KILLS + [1000] * (1 + WORKERS)
    assert seconds < 5.0
    figures(kills=KILLS, masters_disturbed=0, goodbyes=1 + WORKERS, stopped_in_s=round(seconds, 2))


@needs("gunicorn")
@pytest.mark.parametrize("kind", ["sync", "gthread"] if SOAK else ["sync"])
def test_gunicorn_without_preload_connects_in_each_worker(kind: str, figures: Any) -> None:
    """The master does not know the SDK. SIGTERM ends workers and master in time, with close frames and exit code 0."""
    slowest = 0.0
    for _ in range(RESTARTS):
        with served([*GUNICORN, "--worker-class", kind, "web_app:application"], WORKERS) as (sandbox, server):
            assert eventually(lambda: each_has_its_own(sandbox, server.workers()))
            check_workers(server, server.workers(), 0)
            kill_and_see_replaced(sandbox, server, WORKERS)
            check_workers(server, server.workers(), 0)
            slowest = max(slowest, server.terminate())
            assert sandbox.wait_until(lambda: sandbox.close_codes == [1006] + [1000] * WORKERS), sandbox.close_codes
            assert server.pid not in server.diary()
    assert slowest < 5.0
    figures(restarts=RESTARTS, slowest_stop_s=round(slowest, 2))


# uWSGI


def warnings_of_threads(server: Server) -> List[str]:
    return [line for line in server.log().splitlines() if line.startswith("WARNING") and "--enable-threads" in line]


def pings(sandbox: Sandbox) -> int:
    return sum(frame.get("action") == "ping" for _, frame in sandbox.frames)


@needs("pyuwsgi")
def test_uwsgi_with_lazy_apps_connects_in_each_worker(figures: Any) -> None:
    """The heartbeat continues between requests, without a warning. A killed worker's successor connects too."""
    with served([*UWSGI, "--enable-threads", "--lazy-apps"], WORKERS) as (sandbox, server):
        check_workers(server, workers_of(sandbox, server), 0)
        seen = pings(sandbox)
        assert sandbox.wait_until(lambda: pings(sandbox) >= seen + 2 * WORKERS), "no heartbeat between requests"
        for _ in range(KILLS):
            kill_and_see_replaced(sandbox, server, WORKERS)
        check_workers(server, workers_of(sandbox, server), 0)
        assert warnings_of_threads(server) == []
        seconds = server.terminate()
        assert sandbox.wait_for_connections(0)
    figures(kills=KILLS, stopped_in_s=round(seconds, 2))


def workers_of(sandbox: Sandbox, server: Server) -> Set[int]:
    """Return uWSGI's workers. Each has a separate connection."""
    workers = server.workers()
    assert len(workers) == WORKERS
    assert eventually(lambda: each_has_its_own(sandbox, workers)), owners(sandbox, workers)
    return workers


@needs("pyuwsgi")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="this system does not list a process's threads")
def test_uwsgi_whose_processes_all_receive_the_signal_of_the_end(signum: signal.Signals) -> None:
    """Each worker then receives two signals, the second from the master. Only its main thread handles them.

    On another thread the second signal made the worker hang, or cut off the close frame.
    """
    for _ in range(RESTARTS):
        with served([*UWSGI, "--enable-threads", "--lazy-apps", "--stats", "stats"], WORKERS) as (sandbox, server):
            assert eventually(lambda: idle_workers(str(server.folder / "stats")) == WORKERS)
            for worker in server.workers():
                masks = masks_of_threads(worker)
                assert len(masks) > 1
                assert masks.pop(worker) & ENDING == 0
                assert all(mask & ENDING == ENDING for mask in masks.values())
            server.signal_all(signum)
            assert sandbox.wait_for_connections(0)
            # uWSGI's main thread leaves the end at SIGTERM for the one at SIGINT, and may then send no close frame.
            assert signum != signal.SIGINT or sandbox.close_codes == [1000] * WORKERS


#: The signals that end a worker of uWSGI, as the kernel's mask.
ENDING = sum(1 << (signum - 1) for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))


def masks_of_threads(pid: int) -> Dict[int, int]:
    """Return the mask of blocked signals of each thread, by the kernel's number for it."""
    found = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("SigBlk:")]
        found[int(status.parent.name)] = int(line.split()[1], 16)
    return found


@needs("pyuwsgi")
def test_uwsgi_that_forks_after_loading_with_its_fork_hooks(figures: Any) -> None:
    """With --py-call-uwsgi-fork-hooks Python's hooks run: each worker connects by itself, and the master's lives on."""
    command = [*UWSGI, "--enable-threads", "--py-call-uwsgi-fork-hooks"]
    with served(command, 1 + WORKERS) as (sandbox, server):
        everyone = server.workers() | {server.pid}
        assert eventually(lambda: each_has_its_own(sandbox, everyone)), owners(sandbox, everyone)
        check_workers(server, server.workers(), server.pid)
        for _ in range(KILLS):
            kill_and_see_replaced(sandbox, server, 1 + WORKERS)
        check_workers(server, server.workers(), server.pid)
        assert server.diary()[server.pid] == UNDISTURBED
        assert warnings_of_threads(server) == []
        seconds = server.terminate()
        assert sandbox.wait_for_connections(0)
    figures(kills=KILLS, masters_disturbed=0, stopped_in_s=round(seconds, 2))


@needs("pyuwsgi")
def test_uwsgi_that_forks_after_loading_without_telling_python() -> None:
    """By default uWSGI runs no hook of Python in a worker. The first use of the client there notices the fork.

    A worker that never uses the client does not affect the master's connection, not even at its end.
    """
    # A worker that uWSGI has forked with Python's lock held hangs. The master must not wait a minute for it.
    with served([*UWSGI, "--enable-threads", "--worker-reload-mercy", "3"], 1) as (sandbox, server):
        assert eventually(lambda: len(server.workers()) == WORKERS and os.path.exists(server.socket))
        asked = min(server.workers())
        check_workers(server, {asked}, server.pid)
        assert sandbox.wait_for_connections(2)
        assert eventually(lambda: each_has_its_own(sandbox, {server.pid, asked}))
        server.terminate()
        assert sandbox.wait_for_connections(0)
        assert server.diary()[server.pid] == UNDISTURBED
        assert len(sandbox.attempts) == 2


@needs("pyuwsgi")
def test_uwsgi_without_enable_threads_is_warned_of() -> None:
    """If threads are off (uWSGI before 2.0.27), the log says what to do. If they are on anyway, it is silent."""
    with Sandbox() as sandbox, Server(sandbox, [*UWSGI, "--lazy-apps"]) as server:
        assert sandbox.wait_until(lambda: len(sandbox.attempts) >= WORKERS, DEADLINE), server.log()
        pid = min(server.workers())
        assert eventually(lambda: os.path.exists(server.socket))
        if server.ask(pid)["has_threads"]:
            assert warnings_of_threads(server) == []
        else:
            assert len(warnings_of_threads(server)) == WORKERS, server.log()


# Celery


def answers(server: Server, where: str) -> List[Dict[str, Any]]:
    file = server.folder / "answers"
    lines = file.read_text().splitlines() if file.exists() else []
    return [answer for answer in map(json.loads, lines) if answer["where"] == where]


def well(server: Server, where: str, count: int) -> bool:
    """Return whether this many processes have answered, and all of them are connected."""
    got = answers(server, where)
    assert all(answer["status"] == "connected" and "error" not in answer for answer in got), (got, server.log())
    return len({answer["pid"] for answer in got}) >= count


@needs("celery")
def test_celery_with_prefork_gives_each_process_its_own_connection(figures: Any) -> None:
    """Each process has its connection in its tasks, and so has the process in place of a killed one.

    The main process's connection lives on.
    """
    with served(CELERY, 1 + WORKERS) as (sandbox, server):
        assert eventually(lambda: well(server, "task", WORKERS), DEADLINE), server.log()
        everyone = server.workers() | {server.pid}
        assert eventually(lambda: each_has_its_own(sandbox, everyone)), owners(sandbox, everyone)
        for kill in range(KILLS):
            see_replaced(sandbox, server, 1 + WORKERS, lambda: order_a_death(server))
            assert eventually(lambda: well(server, "start", WORKERS + kill + 1), DEADLINE), server.log()
        assert server.diary()[server.pid] == UNDISTURBED
        assert sandbox.close_codes == [1006] * KILLS
        if SOAK:  # Celery itself takes 4 to 6 s
            server.terminate()
            assert sandbox.wait_for_connections(0)
            assert sorted(sandbox.close_codes) == [1000] + [1006] * (KILLS + WORKERS)
    figures(kills=KILLS, masters_disturbed=0)


def order_a_death(server: Server) -> None:
    with (server.folder / "orders").open("a") as orders:
        orders.write("die\n")


# By hand


class Forking:
    """A connected program of forks.py, in a separate sandbox, and its report."""

    def __init__(self, sandbox: Sandbox, folder: Path, what: str, number: int = 1, **settings: Any) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.program = Program(["forks.py", what, str(number)], environment(sandbox, folder, **settings), folder)

    def __enter__(self) -> Forking:
        try:
            self.program.expect("ready")
        except BaseException:
            self.program.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.program.__exit__(*exc_info)

    def run(self) -> List[Dict[str, Any]]:
        """Let it run to its end, and return its report."""
        self.program.go_on()
        code = self.program.end()
        assert (code, self.program.errors()) == (0, "")
        assert self.sandbox.wait_until(lambda: self.sandbox.sockets == 0)
        assert self.sandbox.violations == []
        return self.told()

    def told(self) -> List[Dict[str, Any]]:
        return [json.loads(line) for line in self.program.said() if line != "ready"]

    def parent_is_undisturbed(self) -> bool:
        return diary(self.folder)[self.program.pid] == [*UNDISTURBED, "on_disconnected"]


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing_gives_each_process_its_own_connection(method: str, tmp_path: Path, figures: Any) -> None:
    """With processes and pools, fork uses the inherited client, and spawn and forkserver a new one."""
    tasks = 20 if SOAK else 3
    with Sandbox() as sandbox, Forking(sandbox, tmp_path, method, tasks) as forking:
        told, parent = forking.run()
        assert len({answer["pid"] for answer in told["answers"]}) == 2 + tasks
        assert [answer["status"] for answer in told["answers"]] == ["connected"] * (2 + tasks)
        assert [answer for answer in told["answers"] if "error" in answer] == []
        assert told["codes"] == [0, 0]
        assert "error" not in parent and forking.parent_is_undisturbed()
    figures(processes=2 + tasks, connections_harmed=0)


def test_children_that_end_at_once_do_no_harm(tmp_path: Path, figures: Any) -> None:
    """A child may end by os._exit, by another program in its place, and by sys.exit, in any state."""
    with Sandbox() as sandbox, Forking(sandbox, tmp_path, "at_once", FORKS) as forking:
        told, parent = forking.run()
        assert told["statuses"] == [0] * FORKS
        assert "error" not in parent and forking.parent_is_undisturbed()
    figures(forks=FORKS, connections_harmed=0)


def test_children_that_end_at_once_with_messages_coming_in(tmp_path: Path, figures: Any) -> None:
    """The parent's threads work in the moment of the fork. None of their locks blocks a child."""
    frame = {"type": "presence", "sender": "cometchat-uid-2", "body": {"action": "online"}}
    with Sandbox() as sandbox, Forking(sandbox, tmp_path, "at_once", FORKS) as forking:
        forking.program.go_on()
        sent = 0
        while not forking.program.ended_at:
            sent += sandbox.send_frame(frame)
        assert forking.program.end() == 0
        told, parent = forking.told()
        assert told["statuses"] == [0] * FORKS
        assert "error" not in parent and forking.parent_is_undisturbed()
    figures(forks=FORKS, frames=sent, connections_harmed=0)


def test_a_subprocess_with_preexec_fn_does_no_harm(tmp_path: Path, figures: Any) -> None:
    """Python also calls its fork hooks for a process that becomes another program."""
    count = 100 if SOAK else 8
    with Sandbox() as sandbox, Forking(sandbox, tmp_path, "subprocess", count) as forking:
        told, parent = forking.run()
        assert told["results"] == [[0, "1"]] * count
        assert "error" not in parent and forking.parent_is_undisturbed()
    figures(subprocesses=count, connections_harmed=0)


def test_a_child_connects_by_itself(tmp_path: Path) -> None:
    """A child connects without a call, with a separate connection beside the parent's."""
    with Sandbox() as sandbox, Forking(sandbox, tmp_path, "one") as forking:
        child, asked, statuses, parent = forking.run()
        assert (child["by_itself"], child["status"]) == (True, "connected")
        assert asked["status"] == "connected" and "error" not in asked
        assert statuses == {"statuses": [0]}
        assert "error" not in parent and forking.parent_is_undisturbed()
        assert len(sandbox.attempts) == 2


def test_a_child_that_a_callback_forks_ends_with_the_callback(tmp_path: Path) -> None:
    """The child ends by sys.exit with its code, by another exception, which is logged, or by a return.

    It never connects by itself.
    """
    with Sandbox() as sandbox, Forking(sandbox, tmp_path, "callback") as forking:
        forking.program.go_on()
        assert forking.program.end() == 0
        *children, statuses, parent = forking.told()
        assert children == [{"way": way, "threads": 1, "wanted": False} for way in ("exit", "raise", "return")]
        assert [os.WEXITSTATUS(status) for status in statuses["statuses"]] == [7, 1, 0]
        assert "ValueError: raise" in forking.program.errors() and "SystemExit" not in forking.program.errors()
        assert "error" not in parent
        assert len(sandbox.attempts) == 4 and sandbox.violations == []


def test_a_child_of_a_parent_in_which_every_lock_is_held(tmp_path: Path) -> None:
    """The child is logged in, connects by itself, sends, and ends.

    A child that does not use the SDK ends too. The parent's connection and outbox are not affected.
    """
    settings = {"outbox_path": str(tmp_path / "outbox.db")}
    with Sandbox() as sandbox, Forking(sandbox, tmp_path, "locked", **settings) as forking:
        held, child, statuses, parent = forking.run()
        assert held["held"] >= 10
        assert (child["uid"], child["by_itself"], child["status"]) == ("cometchat-uid-1", True, "connected")
        assert statuses == {"statuses": [0, 0]} and "error" not in child
        assert diary(tmp_path)[child["pid"]] == [*UNDISTURBED, "on_disconnected"]
        assert "error" not in parent and forking.parent_is_undisturbed()
        assert len(sandbox.attempts) == 2
        assert [message["data"]["text"] for message in sandbox.messages] == ["before", "of the child", "after"]


def test_a_child_connects_when_asked_only_with_connect_after_fork_false(tmp_path: Path) -> None:
    """With ``AppSettings(connect_after_fork=False)`` it is disconnected until connect()."""
    with Sandbox() as sandbox, Forking(sandbox, tmp_path, "one", connect_after_fork=False) as forking:
        child, asked, _statuses, parent = forking.run()
        assert (child["by_itself"], child["status"]) == (False, "disconnected")
        assert asked["status"] == "connected" and "error" not in asked
        assert "error" not in parent and forking.parent_is_undisturbed()


def test_a_child_of_a_parent_that_waits_for_a_retry_connects_at_once(tmp_path: Path) -> None:
    """The parent was to be connected. The child does not inherit its wait."""
    with Sandbox() as sandbox:
        sandbox.refuse_upgrades(503)
        with Forking(sandbox, tmp_path, "waiting", reconnect_wait=60) as forking:
            assert sandbox.wait_for_attempts(1)
            sandbox.heal()
            child, asked, statuses = forking.run()
            assert (child["by_itself"], asked["status"], statuses) == (True, "connected", {"statuses": [0]})


def test_a_child_of_a_parent_that_is_not_connected_stays_so(tmp_path: Path) -> None:
    """The parent did not connect, so the sandbox sees no attempt."""
    with Sandbox() as sandbox, Forking(sandbox, tmp_path, "left_alone") as forking:
        child, statuses = forking.run()
        assert (child["by_itself"], statuses) == (False, {"statuses": [0]})
        assert sandbox.attempts == []


def test_a_daemon_keeps_a_connection_and_its_forebears_leave_none(tmp_path: Path) -> None:
    """After two forks the parents end at once. The daemon's connection is left, and ends with a close frame."""
    with Sandbox() as sandbox, Forking(sandbox, tmp_path, "daemon") as forking:
        forking.program.go_on()
        told = json.loads(forking.program.expect("{"))
        assert told["status"] == "connected" and "error" not in told
        assert sandbox.wait_for_connections(1)
        assert set(map(frozenset, owners(sandbox, {told["pid"]}).values())) == {frozenset({told["pid"]})}
        forking.program.go_on()
        assert sandbox.wait_until(lambda: 1000 in sandbox.close_codes)
        assert sandbox.wait_for_connections(0)
