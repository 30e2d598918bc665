"""A program on a host of :mod:`.network_hosts`. Commands and answers are JSON lines. This module has both sides."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Mapping

#: Maximum wait for an event, in seconds, also on a busy machine.
DEADLINE = 60.0

_saying = threading.Lock()


def say(event: str, **fields: Any) -> None:
    """Report an event, on the program's side. CLOCK_MONOTONIC is the same for all processes of a machine."""
    line = json.dumps({"event": event, "time": time.monotonic(), **fields})
    with _saying:
        print(line, flush=True)


def obey(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Carry out the commands on standard input, one after the other, until it ends, on the program's side."""
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            say("answer", to=name, value=commands[name](**arguments))
        except Exception as error:
            say("answer", to=name, error=f"{type(error).__name__}: {error}")


class Program:
    """The test's side.

    :param command: the command line, as words.
    """

    def __init__(self, command: List[str], env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=dict(env)
        )
        self._events: List[Dict[str, Any]] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="test-program", daemon=True)
        self._reader.start()

    def call(self, name: str, timeout: float = DEADLINE, **arguments: Any) -> Any:
        """Send a command, and return its result."""
        before = self.count("answer")
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        answer = self.wait_for("answer", after=before, timeout=timeout)
        assert answer["to"] == name and "error" not in answer, answer
        return answer["value"]

    def events(self, *names: str) -> List[Dict[str, Any]]:
        """Return the events with these names so far."""
        with self._changed:
            return [event for event in self._events if event["event"] in names]

    def count(self, name: str) -> int:
        """Return the number of these events."""
        return len(self.events(name))

    def wait_for(self, name: str, after: int = 0, timeout: float = DEADLINE) -> Dict[str, Any]:
        """Wait for the first event with a name after this many of them."""
        return self.wait_until(lambda: (self.events(name)[after:] or [None])[0], name, timeout)  # type: ignore

    def wait_until(self, predicate: Callable[[], Any], what: str, timeout: float = DEADLINE) -> Any:
        """Return the predicate's first truthy value. It is called again after each new event."""
        with self._changed:
            value = self._changed.wait_for(predicate, timeout)
            assert value, f"no {what} within {timeout:g} s; the newest there was: {self._events[-8:]}"
        return value

    def close(self) -> None:
        """End its input, and so the program."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(DEADLINE)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join(DEADLINE)
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            with self._changed:
                self._events.append(event)
                self._changed.notify_all()
        with self._changed:
            self._events.append({"event": "end", "time": time.monotonic()})
            self._changed.notify_all()
