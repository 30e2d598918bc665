"""Commands in separate processes, whose lines a test can wait for."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from typing import Dict, List, Optional

#: Maximum wait for a line or an end, in seconds, also on a busy machine.
DEADLINE = 60.0


class Process:
    """A command in a separate process."""

    def __init__(self, argv: List[str], env: Optional[Dict[str, str]] = None) -> None:
        self._process = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONFAULTHANDLER": "1", **(env or {})},
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def line(self, containing: str = "") -> str:
        """Return the next line of its output that contains a text."""
        while True:
            line = self._lines.get(timeout=DEADLINE)
            if containing in line:
                return line

    def send(self, signum: signal.Signals) -> None:
        self._process.send_signal(signum)

    def end(self) -> int:
        """Wait for its end, and return the exit code. A command that hangs shows the places of its threads."""
        try:
            return self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)
            self._process.wait(DEADLINE)
            raise AssertionError(f"it does not end:\n{self.errors()}") from None

    def errors(self) -> str:
        """Return its whole standard error, after its end."""
        assert self._process.stderr is not None
        return self._process.stderr.read()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))


class Start:
    """Starts ``python -m cometchat ...``. The command ends with the test."""

    def __init__(self) -> None:
        self._started: List[Process] = []

    def __call__(self, *words: str, env: Optional[Dict[str, str]] = None) -> Process:
        return self.program([sys.executable, "-m", "cometchat", *words], env)

    def program(self, argv: List[str], env: Optional[Dict[str, str]] = None) -> Process:
        process = Process(argv, env)
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            process.close()
