"""The server's host: the sandbox. It takes commands from standard input."""

from __future__ import annotations

import sys
from typing import Any, Dict, List

from network_program import obey, say

from cometchat.sandbox import Sandbox

UID, OTHER_UID = "cometchat-uid-1", "cometchat-uid-2"


def main(host: str) -> None:
    """Serve until the input ends."""
    with Sandbox(host) as sandbox:

        def where(known_as: str) -> Dict[str, str]:
            sandbox.override_settings(CHAT_HOST_OVERRIDE=known_as)
            url = sandbox.url.replace(host, known_as)
            return {"url": url, "app_id": sandbox.app_id, "auth_key": sandbox.auth_key}

        def post(text: str) -> None:
            sandbox.send_message(OTHER_UID, UID, text)

        def texts() -> List[str]:
            return [message["data"]["text"] for message in sandbox.messages if message["sender"] == UID]

        def connections() -> int:
            return sandbox.connections

        def violations() -> List[str]:
            return sandbox.violations

        commands: Dict[str, Any] = {"where": where, "post": post, "texts": texts}
        say("ready")
        obey({**commands, "connections": connections, "violations": violations, "drop": sandbox.drop_connections})


if __name__ == "__main__":
    main(sys.argv[1])
