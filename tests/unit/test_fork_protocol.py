"""The protocol over all objects that a fork concerns: its order, its failures, and waiting threads. No test forks."""

from __future__ import annotations

import gc
import logging
import os
import threading
import warnings
from typing import Any, Callable, Iterator, List, Optional, Set

import pytest

from cometchat import AppSettings, Client, ConnectionListener, _fork, _log
from cometchat._fork import ForkProtocol, ForkSafe, Layer, LogPause
from cometchat._log import SafeLog, Writers
from cometchat._runtime.storage._sqlite_file import SqliteFile

DEADLINE = 10.0


class Thing(ForkSafe):
    """Writes its steps into a list that all things share. It fails in the steps of the test."""

    def __init__(self, name: str, steps: List[str], fails: Optional[Set[str]] = None) -> None:
        self.name = name
        self._steps = steps
        self._fails = fails or set()
        self.on_step: Callable[[str], None] = lambda step: None

    def _do(self, step: str) -> None:
        self.on_step(step)
        if step in self._fails:
            raise ZeroDivisionError(f"{self.name} can't {step}")
        self._steps.append(f"{step} {self.name}")

    def pause_for_fork(self) -> None:
        self._do("pause")

    def resume_after_fork(self) -> None:
        self._do("resume")

    def reset_after_fork(self) -> None:
        self._do("reset")

    def start_after_fork(self) -> None:
        self._do("start")


class House:
    """A separate protocol, with things of each layer."""

    def __init__(self) -> None:
        self.protocol = ForkProtocol()
        self.steps: List[str] = []
        self.things: List[Thing] = []

    def add(self, layer: Layer, name: str, *fails: str) -> Thing:
        thing = Thing(name, self.steps, set(fails))
        self.things.append(thing)
        self.protocol.register(layer, thing)
        return thing

    def parent(self) -> List[str]:
        """Run the steps of the parent's side of a fork."""
        self.protocol.before()
        self.protocol.after_in_parent()
        return self.taken()

    def child(self) -> List[str]:
        """Run the steps of the child's side."""
        self.protocol.before()
        self.taken()
        self.protocol.after_in_child()
        return self.taken()

    def taken(self) -> List[str]:
        steps, self.steps[:] = list(self.steps), []
        return steps


@pytest.fixture
def house() -> House:
    return House()


def in_time(call: Callable[[], object]) -> bool:
    """Return whether the call ends on another thread."""
    thread = threading.Thread(target=call, name="test-fork", daemon=True)
    thread.start()
    thread.join(DEADLINE)
    return not thread.is_alive()


# The order.


def test_the_parent_pauses_from_the_top_and_resumes_from_the_bottom(house: House) -> None:
    """A higher object uses lower ones until it is paused, and again once they are resumed."""
    house.add(Layer.CLIENT, "client")
    house.add(Layer.APPLICATION, "view")
    house.add(Layer.PROCESS, "book")
    assert house.parent() == [
        *("pause view", "pause client", "pause book"),
        *("resume book", "resume client", "resume view"),
    ]


def test_the_child_resets_all_before_it_starts_any(house: House) -> None:
    """A thread that starts may use every other object. By then, none of them has the parent's locks."""
    house.add(Layer.APPLICATION, "view")
    house.add(Layer.CLIENT, "client")
    house.add(Layer.CLIENT, "another client")
    house.add(Layer.PROCESS, "book")
    assert house.child() == [
        *("reset book", "reset client", "reset another client", "reset view"),
        *("start book", "start client", "start another client", "start view"),
    ]


def test_within_a_layer_the_order_is_that_of_the_registration(house: House) -> None:
    """The order does not depend on comparisons of the things."""
    for number in range(5):
        house.add(Layer.CLIENT, str(number))
    assert house.child()[:5] == [f"reset {number}" for number in range(5)]


def test_fork_after_fork(house: House) -> None:
    """Each one has all of its steps. A child can fork, too."""
    house.add(Layer.CLIENT, "client")
    assert house.parent() == house.parent() == ["pause client", "resume client"]
    assert house.child() == ["reset client", "start client"]
    assert house.parent() == ["pause client", "resume client"]
    assert house.child() == ["reset client", "start client"]


def test_an_object_may_leave_steps_out() -> None:
    """The defaults are no-ops."""
    protocol, thing = ForkProtocol(), ForkSafe()
    protocol.register(Layer.PROCESS, thing)
    protocol.before()
    protocol.after_in_parent()
    protocol.before()
    protocol.after_in_child()
    assert protocol.registered(Layer.PROCESS) == [thing]


# Registration.


def test_objects_are_registered_for_as_long_as_they_live(house: House) -> None:
    """The protocol keeps none of them alive, and ignores one that is gone."""
    house.add(Layer.CLIENT, "short-lived")
    kept = house.add(Layer.CLIENT, "kept")
    del house.things[0]
    gc.collect()
    assert house.protocol.registered(Layer.CLIENT) == [kept]
    assert house.parent() == ["pause kept", "resume kept"]


def test_an_object_can_leave(house: House) -> None:
    """A closed client is ignored. A second leave, and an unknown object's, are no-ops."""
    thing = house.add(Layer.CLIENT, "client")
    house.protocol.unregister(thing)
    house.protocol.unregister(thing)
    assert house.parent() == [] == house.child()
    assert house.protocol.registered(Layer.CLIENT) == []


def test_an_object_is_registered_once(house: House) -> None:
    """A second registration with the same layer is a no-op."""
    thing = house.add(Layer.CLIENT, "client")
    house.protocol.register(Layer.CLIENT, thing)
    assert house.parent() == ["pause client", "resume client"]
    assert house.protocol.registered(Layer.PROCESS) == []


def test_an_object_that_dies_between_the_steps_is_not_missed(house: House) -> None:
    """A reset may drop the last reference to another object."""
    first, second = house.add(Layer.PROCESS, "first"), house.add(Layer.CLIENT, "second")

    def drop(step: str) -> None:
        if step == "pause":
            house.protocol.unregister(first)

    second.on_step = drop
    assert house.parent() == ["pause second", "pause first", "resume first", "resume second"]
    assert house.child() == ["reset second", "start second"]


def test_a_reset_may_register(house: House) -> None:
    """Objects that a reset makes belong to the child, and need no reset."""
    client = house.add(Layer.CLIENT, "client")
    client.on_step = lambda step: house.add(Layer.PROCESS, "new") and None if step == "reset" else None
    assert house.child() == ["reset client", "start client"]
    client.on_step = lambda step: None
    assert house.parent() == ["pause client", "pause new", "resume new", "resume client"]


# Failures.


def test_an_object_that_can_not_be_paused_is_resumed(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """It may have taken some of its locks, and releases these. The log names the failure."""
    house.add(Layer.CLIENT, "good")
    house.add(Layer.CLIENT, "bad", "pause")
    house.add(Layer.APPLICATION, "view")
    assert house.parent() == ["pause view", "pause good", "resume good", "resume bad", "resume view"]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and record.exc_info and "paused before a fork" in record.getMessage()


class Asking(logging.Handler):
    """Notes the steps so far, and whether another thread could use the protocol now."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self._house = house
        self.heard: List[List[str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert in_time(lambda: self._house.protocol.registered(Layer.CLIENT))
        self.heard.append(list(self._house.steps))


@pytest.mark.parametrize("side", [House.parent, House.child])
def test_failures_are_logged_when_all_is_free_again(house: House, side: Callable[[House], List[str]]) -> None:
    """A log handler may wait for a thread that uses a client, such as one that sends the records to a chat."""
    house.add(Layer.CLIENT, "bad", "pause", "reset")
    house.add(Layer.CLIENT, "worse", "pause", "resume", "reset", "start")
    house.add(Layer.CLIENT, "good")
    handler = Asking(house)
    logging.getLogger("cometchat.client").addHandler(handler)
    try:
        steps = side(house)
    finally:
        logging.getLogger("cometchat.client").removeHandler(handler)
    assert handler.heard and all(heard[-1] == steps[-1] for heard in handler.heard)


def test_a_fork_during_which_the_user_presses_ctrl_c(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Python would print a KeyboardInterrupt of a fork hook, and fork. The other objects are paused and reset too."""
    house.add(Layer.CLIENT, "good")
    interrupted = house.add(Layer.CLIENT, "bad")

    def interrupt(step: str) -> None:
        if step in ("pause", "reset"):
            raise KeyboardInterrupt

    interrupted.on_step = interrupt
    assert house.parent() == ["pause good", "resume good", "resume bad"]
    assert house.child() == ["reset good", "start good"]
    assert "KeyboardInterrupt" in caplog.text


def test_objects_of_one_fork_are_not_resumed_by_the_next(house: House) -> None:
    """Each fork has its own list."""
    thing = house.add(Layer.CLIENT, "client")
    assert house.parent() == ["pause client", "resume client"]
    house.protocol.unregister(thing)
    assert house.parent() == []


def test_a_client_that_is_half_paused_releases_its_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A KeyboardInterrupt comes while a fork waits for the outbox. Other threads can use the client afterwards."""

    def interrupt(store: SqliteFile) -> None:
        raise KeyboardInterrupt

    client = Client("app", AppSettings(region="us"))
    protocol = ForkProtocol()
    protocol.register(Layer.CLIENT, client._core)
    try:
        for _ in range(2):
            with monkeypatch.context() as patched:
                patched.setattr(SqliteFile, "pause_for_fork", interrupt)
                protocol.before()
            protocol.after_in_parent()
            assert in_time(lambda: client.add_connection_listener(ConnectionListener()))
            protocol.before()
            protocol.after_in_parent()
    finally:
        client.close()


def test_an_object_that_can_not_be_resumed_does_not_stop_the_others(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """The others would otherwise stay paused forever. The protocol's own lock is released."""
    house.add(Layer.PROCESS, "bad", "resume")
    house.add(Layer.CLIENT, "good")
    assert house.parent() == ["pause good", "pause bad", "resume good"]
    assert "resumed after a fork" in caplog.text
    assert in_time(lambda: house.protocol.registered(Layer.CLIENT))


def test_an_object_that_can_not_be_reset_is_not_started(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """The object still has the parent's locks. All others work in the child."""
    house.add(Layer.PROCESS, "bad", "reset")
    house.add(Layer.CLIENT, "good")
    assert house.child() == ["reset good", "start good"]
    assert "reset in the child of a fork" in caplog.text


def test_an_object_that_can_not_be_started_does_not_stop_the_others(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """The system may give one client no thread."""
    house.add(Layer.PROCESS, "bad", "start")
    house.add(Layer.CLIENT, "good")
    assert house.child() == ["reset bad", "reset good", "start good"]
    assert "started in the child of a fork" in caplog.text


class BrokenHandler(logging.Handler):
    """A handler that raises, as if the fork had broken its lock or file."""

    def handle(self, record: logging.LogRecord) -> bool:
        raise OSError("no log")


@pytest.fixture
def broken_log() -> Iterator[None]:
    handler = BrokenHandler()
    logger = logging.getLogger("cometchat.client")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.usefixtures("broken_log")
def test_a_log_that_fails_does_not_stop_the_others(house: House) -> None:
    """The failing log affects no step, and all paused objects are resumed."""
    house.add(Layer.PROCESS, "bad", "pause", "resume", "reset", "start")
    house.add(Layer.PROCESS, "worse", "resume", "start")
    house.add(Layer.CLIENT, "good")
    assert house.parent() == ["pause good", "pause worse", "resume good"]
    assert house.child() == ["reset worse", "reset good", "start good"]
    assert isinstance(_fork.logger.last_failure, OSError)


# Waiting threads.


def test_registration_from_another_thread_waits_for_the_end_of_the_fork(house: House) -> None:
    """An object that is added between pause and resume would be reset in the child without a pause before."""
    house.add(Layer.CLIENT, "client")
    late = Thing("late", house.steps)
    begun, registered = threading.Event(), threading.Event()

    def register() -> None:
        begun.set()
        house.protocol.register(Layer.CLIENT, late)
        registered.set()

    house.protocol.before()
    thread = threading.Thread(target=register, name="test-register", daemon=True)
    thread.start()
    assert begun.wait(DEADLINE)
    assert not registered.wait(0.05)
    house.protocol.after_in_parent()
    assert registered.wait(DEADLINE)
    thread.join(DEADLINE)
    assert house.taken() == ["pause client", "resume client"]
    assert house.parent() == ["pause late", "pause client", "resume client", "resume late"]


def test_leaving_from_another_thread_waits_too(house: House) -> None:
    """A client that is closed during a fork is paused and resumed as a whole."""
    thing, left = house.add(Layer.CLIENT, "client"), threading.Event()
    house.protocol.before()
    thread = threading.Thread(
        target=lambda: (house.protocol.unregister(thing), left.set()), name="test-leave", daemon=True
    )
    thread.start()
    assert not left.wait(0.05)
    house.protocol.after_in_parent()
    assert left.wait(DEADLINE) and house.taken() == ["pause client", "resume client"]
    thread.join(DEADLINE)


def test_the_thread_that_forks_may_register(house: House) -> None:
    """A signal handler that forks may have interrupted a ``register()`` of its own thread: there is no deadlock."""
    with house.protocol._lock:
        house.add(Layer.CLIENT, "client")
        assert house.parent() == ["pause client", "resume client"]
    assert in_time(lambda: house.protocol.registered(Layer.CLIENT))


def test_the_child_does_not_need_the_parents_lock(house: House) -> None:
    """The holder of the lock does not exist in the child: the child has another lock, and it is free."""
    house.add(Layer.CLIENT, "client")
    before = house.protocol._lock
    assert house.child() == ["reset client", "start client"]
    assert house.protocol._lock is not before
    assert in_time(lambda: house.protocol.registered(Layer.CLIENT))


# Forks past Python's hooks.


def test_a_fork_past_pythons_hooks_is_handled_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first use in the child all are reset and started. A second use, and the next thread's, are no-ops."""
    house.add(Layer.CLIENT, "client")
    house.protocol.after_unnoticed_fork()
    assert house.taken() == []
    monkeypatch.setattr(_fork.os, "getpid", lambda pid=os.getpid(): pid + 1)
    for _ in range(2):
        house.protocol.after_unnoticed_fork()
    assert house.taken() == ["reset client", "start client"]


def test_a_fork_with_pythons_hooks_is_not_handled_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child was reset at once. Threads that it has started since must not be discarded."""
    house.add(Layer.CLIENT, "client")
    monkeypatch.setattr(_fork.os, "getpid", lambda pid=os.getpid(): pid + 1)
    assert house.child() == ["reset client", "start client"]
    house.protocol.after_unnoticed_fork()
    assert house.taken() == []


def test_a_fork_past_pythons_hooks_is_handled_by_one_thread(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that come meanwhile wait until all is reset: none of them uses the parent's objects."""
    client = house.add(Layer.CLIENT, "client")
    inside, go_on, back = threading.Event(), threading.Event(), threading.Semaphore(0)

    def hold(step: str) -> None:
        inside.set()
        assert go_on.wait(DEADLINE)

    client.on_step = hold
    monkeypatch.setattr(_fork.os, "getpid", lambda pid=os.getpid(): pid + 1)
    threads = [
        threading.Thread(target=lambda: (house.protocol.after_unnoticed_fork(), back.release()), daemon=True)
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    assert inside.wait(DEADLINE)
    assert not back.acquire(timeout=0.05)
    go_on.set()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert house.taken() == ["reset client", "start client"]


def test_a_step_in_the_child_may_use_a_client(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client's methods first look for an unnoticed fork. This must neither recurse nor hang."""
    client = house.add(Layer.CLIENT, "client")
    client.on_step = lambda step: house.protocol.after_unnoticed_fork()
    monkeypatch.setattr(_fork.os, "getpid", lambda pid=os.getpid(): pid + 1)
    house.protocol.after_unnoticed_fork()
    assert house.taken() == ["reset client", "start client"]


# The process's own protocol.


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_process_registers_with_python_once() -> None:
    """A real fork goes through the process's protocol: the child gets the reset, the parent both of its steps."""
    steps: List[str] = []
    thing = Thing("thing", steps)
    _fork.register(Layer.APPLICATION, thing)
    try:
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of forking with threads
            pid = os.fork()
        if pid == 0:
            os.write(writer, ",".join(steps).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            assert pipe.read() == "pause thing,reset thing,start thing"
        assert os.waitpid(pid, 0)[1] == 0
        assert steps == ["pause thing", "resume thing"]
    finally:
        _fork.unregister(thing)


class SlowHandler(logging.Handler):
    """A handler that writes each record only when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.let_go, self.written = threading.Event(), threading.Event(), 0

    def emit(self, record: logging.LogRecord) -> None:
        self.inside.set()
        assert self.let_go.wait(DEADLINE)
        self.written += 1


class BusyLog:
    """A log with a slow handler, and a fork that waits for it."""

    def __init__(self, log: logging.Logger) -> None:
        self.handler, self.log = SlowHandler(), SafeLog(log)
        self._logger = log
        self.waited_for = threading.Event()
        self.writers = Writers(clock=self._clock)
        log.addHandler(self.handler)
        self.threads: List[threading.Thread] = []

    def _clock(self) -> float:
        self.waited_for.set()
        return 0.0

    def start(self, work: Callable[[], object]) -> threading.Thread:
        self.threads.append(threading.Thread(target=work, daemon=True))
        self.threads[-1].start()
        return self.threads[-1]

    def close(self) -> None:
        self.handler.let_go.set()
        self.writers.resume()
        for thread in self.threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()
        self._logger.removeHandler(self.handler)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[BusyLog]:
    """A thread of the SDK is inside the handler."""
    busy = BusyLog(logging.getLogger("cometchat.client"))
    monkeypatch.setattr(_log, "WRITERS", busy.writers)
    monkeypatch.setattr(_log, "_PATIENCE", DEADLINE)
    busy.start(lambda: busy.log.error("a record"))
    assert busy.handler.inside.wait(DEADLINE)
    yield busy
    busy.close()


def is_free(lock: Any) -> bool:
    """Return whether another thread can take a lock."""
    free: List[bool] = []

    def take() -> None:
        free.append(lock.acquire(False))
        if free[0]:
            lock.release()

    assert in_time(take)
    return free[0]


def test_a_fork_waits_for_the_threads_that_write_to_the_log(busy: BusyLog) -> None:
    """The lock of the handler's stream would stay locked in the child, and the child's first record would hang."""
    forks = busy.start(busy.writers.pause)
    assert busy.waited_for.wait(DEADLINE)
    assert forks.is_alive() and busy.handler.written == 0
    busy.handler.let_go.set()
    forks.join(DEADLINE)
    assert not forks.is_alive() and busy.handler.written == 1


def test_no_thread_begins_a_record_during_a_fork(busy: BusyLog) -> None:
    busy.handler.let_go.set()
    busy.writers.pause()
    late = busy.start(lambda: busy.log.error("a record of another thread"))
    busy.log.error("a record of the thread that forks")
    assert late.is_alive() and busy.handler.written == 2
    busy.writers.resume()
    late.join(DEADLINE)
    assert busy.handler.written == 3


def test_a_fork_holds_no_lock_of_a_handler(busy: BusyLog) -> None:
    """Another library may wait in its own fork hook for a thread that writes to the log."""
    busy.handler.let_go.set()
    busy.writers.pause()
    lock = logging._lock  # type: ignore[attr-defined]
    assert is_free(busy.handler.lock) and is_free(lock)
    logging.getLogger("cometchat.client").error("a record of another library")
    assert busy.handler.written == 2


def test_a_blocked_log_handler_does_not_stop_a_fork(busy: BusyLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_log, "_PATIENCE", 0.0)
    busy.writers.pause()
    assert busy.handler.written == 0


def test_a_handler_that_uses_the_sdk_during_a_fork(busy: BusyLog) -> None:
    """Its record is in progress. If the record inside it waited for the fork, both would wait for each other."""
    busy.handler.let_go.set()
    with busy.writers:
        forks = busy.start(busy.writers.pause)
        assert busy.waited_for.wait(DEADLINE)
        with busy.writers:
            assert forks.is_alive()
    forks.join(DEADLINE)
    assert not forks.is_alive()


def test_a_fork_in_a_log_handler(busy: BusyLog) -> None:
    """In the parent and in the child, the record continues, and others follow."""
    busy.handler.let_go.set()
    for resume in (busy.writers.resume, busy.writers.reset):
        with busy.writers:
            busy.writers.pause()
            busy.writers.pause()  # a signal handler forks too
            resume()
        written = busy.start(lambda: busy.log.error("a later record"))
        written.join(DEADLINE)
        assert not written.is_alive()
    assert busy.handler.written == 3


def test_the_child_of_a_fork_forgets_the_writers_of_the_parent(busy: BusyLog) -> None:
    busy.writers.reset()
    busy.writers.pause()
    busy.writers.resume()
    assert busy.handler.written == 0


@pytest.mark.parametrize("process", ["parent", "child"])
def test_the_log_is_paused_by_a_fork(process: str, busy: BusyLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Last, and resumed first."""
    assert _fork._log_pause in _fork.registered(Layer.LOGS) and min(Layer) is Layer.LOGS
    monkeypatch.setattr(_fork, "WRITERS", busy.writers)
    protocol, pause = ForkProtocol(), LogPause()
    protocol.register(Layer.LOGS, pause)
    busy.handler.let_go.set()
    protocol.before()
    assert busy.handler.written == 1 and busy.writers._pause is not None
    getattr(protocol, f"after_in_{process}")()
    assert busy.writers._pause is None
