"""Programs in separate processes, whose lines a test can wait for."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from typing import IO, Dict, List, Optional

#: Maximum wait for a line or an end, in seconds, also on a busy machine.
DEADLINE = 60.0


def plain(**more: str) -> Dict[str, str]:
    """Return an environment without the developer's own account, proxies and settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COMETCHAT_", "WERKZEUG_")) and not name.lower().endswith("_proxy")
    }
    return {**kept, **more}


class Lines:
    """The lines of a process's output. A thread reads them, so that the process never waits for the test."""

    def __init__(self, output: IO[str]) -> None:
        self._output = output
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="test-lines", daemon=True)
        self._reader.start()

    def next(self, containing: str = "") -> str:
        """Return the next line that contains a text."""
        while True:
            line = self._lines.get(timeout=DEADLINE)
            if containing in line:
                return line

    def close(self) -> None:
        """Close the output of a process that has ended."""
        self._reader.join(DEADLINE)
        self._output.close()

    def _read(self) -> None:
        for line in self._output:
            self._lines.put(line.rstrip("\n"))


class Process:
    """A program in a separate process.

    :param env: the whole environment. None for this process's.
    :param errors: where its standard error goes. :meth:`errors` needs the default.
    """

    def __init__(self, argv: List[str], env: Optional[Dict[str, str]] = None, errors: int = subprocess.PIPE) -> None:
        self._process = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env={**(os.environ if env is None else env), "PYTHONIOENCODING": "utf-8", "PYTHONFAULTHANDLER": "1"},
        )
        assert self._process.stdout is not None
        self._lines = Lines(self._process.stdout)
        self.line = self._lines.next

    def send(self, signum: signal.Signals) -> None:
        self._process.send_signal(signum)

    def end(self, signum: Optional[signal.Signals] = None) -> int:
        """Send a signal, if any, and wait for the end. Returns the exit code.

        A program that hangs shows the places of its threads.
        """
        if signum is not None:
            self.send(signum)
        try:
            return self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)
            self._process.wait(DEADLINE)
            raise AssertionError(f"it does not end:\n{self.errors()}") from None

    def errors(self) -> str:
        """Return its whole standard error, after its end."""
        return "" if self._process.stderr is None else self._process.stderr.read()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(DEADLINE)
        self._lines.close()
        if self._process.stderr is not None:
            self._process.stderr.close()


class Start:
    """Starts ``python -m cometchat ...``. The command ends with the test."""

    def __init__(self) -> None:
        self._started: List[Process] = []

    def __call__(self, *words: str, env: Optional[Dict[str, str]] = None) -> Process:
        return self.program([sys.executable, "-m", "cometchat", *words], env)

    def program(self, argv: List[str], env: Optional[Dict[str, str]] = None) -> Process:
        process = Process(argv, {**os.environ, **(env or {})})
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            process.close()
