"""A thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Coroutine, Optional, TypeVar

T = TypeVar("T")

_numbers = itertools.count(1)


class LoopThread:
    """Its owner starts and stops it. While it runs, any thread may run coroutines in it."""

    def __init__(self) -> None:
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._thread: Optional[threading.Thread] = None
        self._process = os.getpid()

    @property
    def is_elsewhere(self) -> bool:
        """Whether this process is a fork of the one that runs it."""
        return self._loop is not None and self._process != os.getpid()

    def start(self) -> None:
        """Start the thread, named ``cometchat-sandbox-N``.

        :raises RuntimeError: the system can't start a thread.
        """
        loop = asyncio.new_event_loop()
        name = f"cometchat-sandbox-{next(_numbers)}"
        self._thread = threading.Thread(target=_run, args=(loop,), name=name, daemon=True)
        self._loop, self._process = loop, os.getpid()
        try:
            self._thread.start()
        except Exception:  # the system has no thread left
            self._loop = self._thread = None
            loop.close()
            raise

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run a coroutine in this thread and return its result. The caller waits ``timeout`` seconds at most.

        :raises TimeoutError: it took longer, and was cancelled.
        :raises RuntimeError: this thread calls it, or it runs in another process, or not at all.
        """
        loop = self._loop
        if self.is_elsewhere:
            coroutine.close()
            raise RuntimeError("the sandbox runs in another process, of which this one is a fork")
        if loop is None or threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("call this from another thread, while the sandbox is running")
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result(timeout)
        except FutureTimeoutError:
            future.cancel()
            raise TimeoutError(f"the sandbox did not do it within {timeout:g} s") from None

    def stop(self, timeout: float) -> None:
        """Cancel the coroutines, and end the loop and the thread."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout)
        if thread.is_alive():
            raise TimeoutError(f"thread {thread.name} did not end within {timeout:g} s")


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        try:
            loop.run_until_complete(_cancel_all())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # A closed transport releases its socket in a later turn of the loop, and with TLS in the turn after that.
    for _ in range(4):
        await asyncio.sleep(0)
