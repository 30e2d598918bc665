"""The sandbox in a separate process, so that its work does not count as the clients'. It takes commands from standard
input.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Dict, List

from flood_limits import raise_descriptors
from network_program import obey, say

from cometchat.sandbox import Sandbox


class Program:
    """The commands."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def where(self) -> Dict[str, Any]:
        """Return the address and the account."""
        return {"url": self._sandbox.url, "app_id": self._sandbox.app_id, "auth_key": self._sandbox.auth_key}

    def restart(self, down: float) -> float:
        """Restart like a service: refuse, drop all, be away for some seconds, accept. Returns the time of the drop."""
        self._sandbox.clear_records()
        self._sandbox.refuse_connections()
        dropped_at = time.monotonic()
        self._sandbox.drop_connections()
        threading.Event().wait(down)
        self._sandbox.accept_connections()
        return dropped_at

    def attempts(self) -> List[float]:
        """Return the arrival time of each WebSocket upgrade."""
        return [attempt.time for attempt in self._sandbox.attempts]

    def wait_for_connections(self, count: int, within: float) -> int:
        """Wait for this many connections, and return their number."""
        self._sandbox.wait_for_connections(count, within)
        return self._sandbox.connections

    def violations(self) -> List[str]:
        """Return the clients' violations of the protocol."""
        return self._sandbox.violations


def main() -> None:
    """Serve until the input ends."""
    raise_descriptors()
    with Sandbox() as sandbox:
        program = Program(sandbox)
        names = ["where", "restart", "attempts", "wait_for_connections", "violations"]
        say("ready")
        obey({name: getattr(program, name) for name in names})


if __name__ == "__main__":
    main()
