"""The sandbox in a process of its own, so that its work is not the clients': told what to do on standard input."""

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
        """How to get here."""
        return {"url": self._sandbox.url, "app_id": self._sandbox.app_id, "auth_key": self._sandbox.auth_key}

    def restart(self, down: float) -> float:
        """As a service does: refuse, drop everybody, be away for some seconds, accept. When it dropped them."""
        self._sandbox.clear_records()
        self._sandbox.refuse_connections()
        dropped_at = time.monotonic()
        self._sandbox.drop_connections()
        threading.Event().wait(down)
        self._sandbox.accept_connections()
        return dropped_at

    def attempts(self) -> List[float]:
        """When each WebSocket upgrade that has reached it came."""
        return [attempt.time for attempt in self._sandbox.attempts]

    def wait_for_connections(self, count: int, within: float) -> int:
        """Wait for so many; how many there are."""
        self._sandbox.wait_for_connections(count, within)
        return self._sandbox.connections

    def violations(self) -> List[str]:
        """Of the protocol, by clients."""
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
