"""ServiceThread: no exception ends it while it is wanted, and a thread that cannot start is an error with a code."""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
from types import FrameType
from typing import Any, Callable, Iterator, List, Optional

import pytest
from no_threads import no_threads

from cometchat import CometChatException
from cometchat._runtime import _threads
from cometchat._runtime._threads import ServiceThread, Wakeup

DEADLINE = 10.0


class Work:
    """Raises the given exceptions, one in each run, then ends."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.runs = 0
        self.waits: List[float] = []
        self.is_wanted = True
        self.clock: Callable[[], float] = lambda: 0.0
        self.thread = ServiceThread(
            "test-service", self.run, wanted=lambda: self.is_wanted, wait=self.wait, clock=lambda: self.clock()
        )

    def run(self) -> None:
        self.runs += 1
        if self.errors:
            raise self.errors.pop(0)

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    def finish(self) -> None:
        self.thread.start()
        self.thread.join(DEADLINE)
        assert not self.thread.alive


class Raising(logging.Handler):
    """A handler that fails."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self.error


@pytest.fixture
def raising(request: pytest.FixtureRequest) -> Iterator[BaseException]:
    handler = Raising(request.param)
    _threads.logger.addHandler(handler)
    yield request.param
    _threads.logger.removeHandler(handler)


def test_it_runs_and_ends() -> None:
    """The thread has its name, is a daemon, and ends when its work returns; it can be started again."""
    seen: List[Any] = []
    work = Work()
    thread = ServiceThread(
        "test-named", lambda: seen.append(threading.current_thread()), wanted=lambda: True, wait=work.wait
    )
    thread.join(0)
    for _ in range(2):
        thread.start()
        thread.join(DEADLINE)
    assert [(each.name, each.daemon) for each in seen] == [("test-named", True)] * 2
    assert not thread.alive


def test_start_again_while_it_runs() -> None:
    """A start during a run is a no-op, from any number of threads."""
    go, runs = threading.Event(), []

    def work() -> None:
        runs.append(1)
        go.wait(DEADLINE)

    thread = ServiceThread("test-once", work, wanted=lambda: True, wait=lambda seconds: None)
    starters = [threading.Thread(target=thread.start, name="test-starter") for _ in range(8)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(DEADLINE)
    assert thread.alive
    go.set()
    thread.join(DEADLINE)
    assert runs == [1]


@pytest.mark.parametrize(
    "error", [RuntimeError("x"), MemoryError(), OSError("x"), RecursionError(), SystemExit(1), KeyboardInterrupt()]
)
def test_its_work_is_run_again(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """An exception is logged with its traceback and the thread's name. The work runs again after a wait."""
    work = Work(error, error)
    work.finish()
    assert work.runs == 3
    assert len(work.waits) == 2 and all(0 < wait <= 0.4 for wait in work.waits)
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error, error]
    assert all("[test-service]" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("raising", [OSError("disk full"), MemoryError(), SystemExit(3)], indirect=True, ids=repr)
def test_a_logging_handler_that_raises(raising: BaseException) -> None:
    """The report of the exception fails as well. The work still runs again, after its wait."""
    work = Work(RuntimeError("x"), RuntimeError("y"))
    work.finish()
    assert (work.runs, len(work.waits)) == (3, 2)
    assert work.thread.last_failure is raising


@pytest.mark.parametrize("name", ["_recover", "_run_until_done"])
def test_a_report_without_memory(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The thread continues, also if it has no memory for its first call."""
    work, left = Work(KeyError("x")), [1]
    right = getattr(ServiceThread, name)

    def fail(self: ServiceThread, *values: object) -> None:
        if left[0]:
            left[0] -= 1
            raise MemoryError
        right(self, *values)

    monkeypatch.setattr(ServiceThread, name, fail)
    work.finish()
    assert work.runs == 2 and isinstance(work.thread.last_failure, MemoryError)


def test_a_report_without_memory_of_a_thread_that_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread ends."""
    work = Work()
    work.is_wanted = False

    def fail(self: ServiceThread, process: int) -> None:
        raise MemoryError

    monkeypatch.setattr(ServiceThread, "_run_until_done", fail)
    work.finish()
    assert work.runs == 0


def test_a_wait_that_raises() -> None:
    """If the wait fails, the work runs again."""
    work = Work(RuntimeError("x"))
    work.thread._wait = lambda seconds: [][0]
    work.finish()
    assert work.runs == 2


def test_the_waits_grow_and_start_again_after_a_good_run(caplog: pytest.LogCaptureFixture) -> None:
    """Successive failures wait longer. A failure after a run of 30 s is the first of a new series."""
    caplog.set_level(logging.CRITICAL, "cometchat.client")  # ten thousand tracebacks take long
    work = Work(*(RuntimeError(str(number)) for number in range(10_000)))
    work.finish()
    assert work.waits[9_999] >= 15.0
    seconds = iter(range(0, 10_000, 30))
    work.clock = lambda: float(next(seconds))
    work.errors, work.waits = [RuntimeError("x")] * 3, []
    work.finish()
    assert all(wait <= 0.2 for wait in work.waits)


def test_it_ends_where_it_is_not_wanted(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a thread that should end is its end, without a report."""
    work = Work(RuntimeError("x"))
    work.is_wanted = False
    work.finish()
    assert (work.runs, work.waits, caplog.records) == (1, [], [])


def test_it_ends_where_it_is_not_wanted_any_more() -> None:
    """The thread was closed during its wait. Its work does not run again."""
    work = Work(RuntimeError("x"))
    work.thread._wait = lambda seconds: setattr(work, "is_wanted", False)
    work.finish()
    assert work.runs == 1


def test_system_exit_ends_a_process_that_does_not_want_it() -> None:
    """In the child of a fork within a callback, SystemExit goes on to Python."""
    work = Work(SystemExit(0))
    work.is_wanted = False
    ended = Wakeup()
    work.thread._new.append(ended)
    with pytest.raises(SystemExit):
        work.thread._run(ended)


class Broken:
    """A standard error that can't be written."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stream", [None, Broken()], ids=["closed", "full"])
def test_the_end_of_a_child_needs_no_standard_error(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child of a fork in a callback that calls ``sys.exit("text")`` ends with 1, also if it can't write that."""
    codes: List[int] = []
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(_threads.os, "_exit", codes.append)
    _threads.end_child(SystemExit("text"))
    assert codes == [1]


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError("no"), OSError(11, "x")])
@pytest.mark.parametrize("method", ["__init__", "start"])
def test_a_system_without_threads(method: str, error: Exception) -> None:
    """If Thread() or start() raises, the error is ERR_INTERNAL with the cause. A later start() works."""
    work = Work()
    with no_threads(method=method, error=error), pytest.raises(CometChatException) as caught:
        work.thread.start()
    assert caught.value.code == "ERR_INTERNAL" and caught.value.__cause__ is error
    assert not work.thread.alive
    work.finish()
    assert work.runs == 1


def test_join_on_the_thread_itself() -> None:
    """The thread does not wait for itself."""
    joined: List[bool] = []
    holder: List[ServiceThread] = []

    def work() -> None:
        holder[0].join(DEADLINE)
        joined.append(True)

    holder.append(ServiceThread("test-self", work, wanted=lambda: False, wait=lambda seconds: None))
    holder[0].start()
    holder[0].join(DEADLINE)
    assert joined == [True]


def test_the_late_thread_of_an_interrupted_start_does_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not work beside the thread of the next start."""
    work = Work()
    late: List[threading.Thread] = []

    def interrupted(thread: threading.Thread) -> None:
        late.append(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_threads, "start_thread", interrupted)
        with pytest.raises(KeyboardInterrupt):
            work.thread.start()
    work.finish()
    late[0].start()
    late[0].join(DEADLINE)
    assert work.runs == 1


def test_start_in_a_signal_handler() -> None:
    """start() at any line of a start() of the same thread neither hangs nor starts a second thread."""
    for line in range(1, 60):
        work, left = Work(), [line]

        def hook(frame: FrameType, event: str, _: Any) -> Optional[Any]:
            if frame.f_code.co_filename != _threads.__file__ or threading.current_thread().name == "test-service":
                return None
            if event == "line":
                left[0] -= 1
                if left[0] == 0:
                    work.thread.start()
            return hook

        def start() -> None:
            sys.settrace(hook)
            try:
                work.thread.start()
            finally:
                sys.settrace(None)

        go = threading.Event()
        work.thread._work = lambda: (setattr(work, "runs", work.runs + 1), go.wait(DEADLINE))
        starting = threading.Thread(target=start, daemon=True, name="test-starting")
        starting.start()
        starting.join(DEADLINE)
        assert not starting.is_alive() and work.thread.alive
        go.set()
        work.thread.join(DEADLINE)
        assert work.runs == 1
        if left[0] > 0:
            return
    pytest.fail("more lines than expected")


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("cannot release un-acquired lock")], ids=repr)
@pytest.mark.parametrize("method", ["join", "is_alive"])
def test_the_end_is_found_by_two_threads_at_once(
    monkeypatch: pytest.MonkeyPatch, method: str, error: Exception
) -> None:
    """PyPy's Thread raises for one of two threads that find a third one ended.

    For both of them the thread has ended.
    """
    go = threading.Event()
    thread = ServiceThread("test-race", lambda: go.wait(DEADLINE), wanted=lambda: False, wait=lambda seconds: None)
    thread.start()
    plain = getattr(threading.Thread, method)

    def find_the_end(of: threading.Thread, *limit: float) -> Any:
        found = plain(of, *limit)
        if of.name != "test-race" or (method == "is_alive" and found):
            return found
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, method, find_the_end)
        assert thread.alive
        go.set()
        thread.join(DEADLINE)
        assert not thread.alive
    assert not thread.alive


def test_many_threads_join_it() -> None:
    """Threads that wait for the same end are all released, and none gets an exception."""
    failures: List[BaseException] = []

    def join(thread: ServiceThread, ready: threading.Barrier) -> None:
        try:
            ready.wait(DEADLINE)
            thread.join(DEADLINE)
            assert not thread.alive
        except BaseException as failure:
            failures.append(failure)

    for _ in range(100):
        ready = threading.Barrier(5)
        thread = ServiceThread(
            "test-joined", lambda: ready.wait(DEADLINE), wanted=lambda: False, wait=lambda seconds: None
        )
        thread.start()
        joining = [threading.Thread(target=join, args=(thread, ready), name="test-joining") for _ in range(4)]
        for each in joining:
            each.start()
        for each in joining:
            each.join(DEADLINE)
    assert failures == []


def test_a_thread_has_a_context_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where threads inherit the caller's context, as with ``-X thread_inherit_context`` of Python 3.14."""

    class Inheriting(threading.Thread):
        def start(self) -> None:
            context, run = contextvars.copy_context(), self.run
            monkeypatch.setattr(self, "run", lambda: context.run(run))
            super().start()

    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")
    seen: List[str] = []
    token = request.set("of the caller")
    try:
        monkeypatch.setattr(threading, "Thread", Inheriting)
        thread = ServiceThread("test", lambda: seen.append(request.get()), wanted=lambda: False, wait=bool)
        thread.start()
        thread.join(DEADLINE)
    finally:
        request.reset(token)
    assert seen == ["none"]
