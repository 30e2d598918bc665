"""Commands in processes of their own, whose lines can be waited for."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from typing import Dict, List, Optional

#: Seconds: the longest wait for a line or an end.
DEADLINE = 20.0


class Process:
    """A command in a process of its own."""

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
        """The next line of its output that contains a text."""
        while True:
            line = self._lines.get(timeout=DEADLINE)
            if containing in line:
                return line

    def send(self, signum: signal.Signals) -> None:
        self._process.send_signal(signum)

    def end(self) -> int:
        """Wait for its end; the exit code. One that hangs shows where its threads are."""
        try:
            return self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)
            self._process.wait(DEADLINE)
            raise AssertionError(f"it does not end:\n{self.errors()}") from None

    def errors(self) -> str:
        """All of its standard error, once it has ended."""
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
    """Starts ``python -m cometchat ...``; all of it ends with the test."""

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
