"""The client's host: one client that takes commands from standard input, and reports every event on standard output."""

from __future__ import annotations

import threading
from typing import Any, Optional, Sequence

import tenacity
from network_program import obey, say

from cometchat import AppSettings, Client, CometChatException, ConnectionListener, MessageListener, TextMessage

UID, OTHER_UID = "cometchat-uid-1", "cometchat-uid-2"

#: Seconds between two looks at the status.
LOOK = 0.01


class Told(ConnectionListener, MessageListener):
    """Reports each callback."""

    def on_connecting(self) -> None:
        say("on_connecting")

    def on_connected(self) -> None:
        say("on_connected")

    def on_disconnected(self) -> None:
        say("on_disconnected")

    def on_connection_error(self, error: CometChatException) -> None:
        say("on_connection_error", code=error.code, message=error.message)

    def on_text_message_received(self, message: TextMessage) -> None:
        say("message", text=message.text)


class Program:
    """The commands."""

    def __init__(self) -> None:
        self._client: Optional[Client] = None
        self._ended = threading.Event()
        self._watcher: Optional[threading.Thread] = None

    def start(self, app_id: str, auth_key: str, url: str, waits: Sequence[float] = (), **settings: Any) -> None:
        """Make the client, log in and wait for the connection over the line between the hosts, not over loopback.

        :param waits: seconds between attempts. The last value repeats.
        """
        if waits:
            settings["reconnect_wait"] = tenacity.wait_chain(*map(tenacity.wait_fixed, waits))
        client = Client(app_id, AppSettings(admin_host=url, client_host=url, **settings))
        self._client = client
        client.add_connection_listener("told", Told())
        client.add_message_listener("told", Told())
        self._watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._watcher.start()
        client.login(UID, auth_key)
        client.connect(20.0)

    def put(self, text: str) -> None:
        """Put an item into the outbox."""
        assert self._client is not None
        self._client.outbox.put(TextMessage(receiver_id=OTHER_UID, receiver_type="user", text=text))

    def flush(self) -> bool:
        """Wait for the outbox to be empty."""
        assert self._client is not None
        return self._client.outbox.flush(20.0)

    def ping(self, timeout: Optional[float] = None) -> Optional[float]:
        """Return a round trip in seconds, or None without a connection or an answer."""
        assert self._client is not None
        try:
            return self._client.ping(timeout)
        except CometChatException:
            return None

    def close(self) -> None:
        """Close the client. A later start() makes another."""
        if self._client is not None:
            self._client.close()
            self._ended.set()
            assert self._watcher is not None
            self._watcher.join()
            self._ended.clear()
            self._client = None

    def _watch(self) -> None:
        """Report each change of get_connection_status()."""
        assert self._client is not None
        newest = None
        while not self._ended.wait(LOOK):
            status = str(self._client.get_connection_status())
            if status != newest:
                newest = status
                say("status", status=status)


if __name__ == "__main__":
    program = Program()
    say("ready")
    obey({name: getattr(program, name) for name in ("start", "put", "flush", "ping", "close")})
    program.close()
