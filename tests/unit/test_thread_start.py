"""The start of the SDK's threads: under uWSGI they do not receive the signals that end a worker."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any, Callable, List, Set

import pytest
from no_threads import no_threads

from cometchat._runtime._threads import ServiceThread

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal masks, and no uWSGI")

DEADLINE = 10.0


def blocked() -> Set[Any]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def blocked_in_a_subprocess() -> Set[Any]:
    program = "import signal; print(*map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    return set(map(int, subprocess.check_output([sys.executable, "-I", "-S", "-c", program]).split()))


def blocked_on_a_service_thread(look: Callable[[], Set[Any]] = blocked) -> Set[Any]:
    """Return the signals that a new thread of the SDK has blocked, besides those of this thread."""
    seen: List[Set[Any]] = []
    before = blocked()
    thread = ServiceThread(
        "test-service", lambda: seen.append(look()), wanted=lambda: False, wait=threading.Event().wait
    )
    thread.start()
    thread.join(DEADLINE)
    assert blocked() == before
    return seen[0] - before


def test_under_uwsgi_a_thread_leaves_the_signals_of_the_end_to_the_main_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace())
    monkeypatch.delitem(sys.modules, "gevent.monkey", raising=False)
    assert blocked_on_a_service_thread() == {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}
    assert blocked_on_a_service_thread(blocked_in_a_subprocess) == {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}


def test_elsewhere_a_thread_and_its_subprocesses_have_the_mask_of_its_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "uwsgi", raising=False)
    assert blocked_on_a_service_thread() == set()
    assert blocked_on_a_service_thread(blocked_in_a_subprocess) == set()


def test_greenlets_leave_the_mask_of_the_main_thread_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another greenlet may start a thread meanwhile, and restore the mask in the wrong order."""
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "gevent.monkey", SimpleNamespace(is_module_patched=lambda name: True))
    assert blocked_on_a_service_thread() == set()


def test_a_failed_start_restores_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace())
    before = blocked()
    with no_threads(), pytest.raises(Exception, match="No thread can be started"):
        ServiceThread("test-service", lambda: None, wanted=lambda: False, wait=threading.Event().wait).start()
    assert blocked() == before
