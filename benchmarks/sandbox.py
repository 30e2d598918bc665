"""The sandbox as the server of many clients, in a process of its own: asyncio, so that it starts no thread per client.

Commands come in as lines of JSON on standard input, answers go out on standard output, as with ``server``.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Callable, Dict

from cometchat.sandbox import Sandbox

from .probe import raise_descriptor_limit

#: The same as in ``probe.client_of``.
APP, UID, AUTH_KEY = "app", "uid1", "auth-key"


class Commands:
    """The commands of the benchmarks to a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def do_drop(self) -> Dict[str, Any]:
        """End every WebSocket at once. Return when that began."""
        began = time.monotonic()
        return {"dropped": self._sandbox.drop_connections(), "at": began}

    def do_leave(self) -> Dict[str, Any]:
        """Close the port and every connection, like a service that goes down. Return when that began."""
        began = time.monotonic()
        self._sandbox.refuse_connections()
        self._sandbox.drop_connections()
        self._sandbox.clear_records()
        return {"at": began}

    def do_return(self) -> Dict[str, Any]:
        """Open the port again. Return when that began."""
        began = time.monotonic()
        self._sandbox.accept_connections()
        return {"at": began}

    def do_attempts(self) -> Dict[str, Any]:
        """Return when each attempt to connect arrived."""
        return {"times": [attempt.time for attempt in self._sandbox.attempts]}


def main() -> None:
    """Serve until standard input ends."""
    raise_descriptor_limit()
    with Sandbox(app_id=APP, auth_key=AUTH_KEY) as sandbox:
        sandbox.add_user(UID, UID.upper())
        commands = Commands(sandbox)
        _say({"port": sandbox.port, "jwt": sandbox.jwt(UID)})
        for line in sys.stdin:
            command = json.loads(line)
            do: Callable[..., Dict[str, Any]] = getattr(commands, f"do_{command.pop('do')}")
            _say(do(**command))


def _say(line: Dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
