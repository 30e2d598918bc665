"""A client in a separate process, so that a test can measure its memory. It takes commands from standard input."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections import Counter
from typing import Any, Callable, Dict, List, Optional

import psutil
import tenacity
from network_program import obey, say

from cometchat import (
    AppSettings,
    Client,
    CometChatException,
    ConnectionListener,
    MessageListener,
    MessageReceipt,
    TextMessage,
    TransientMessage,
    TypingIndicator,
    User,
    UserListener,
)

UID = "cometchat-uid-1"

#: Seconds after which a blocked listener is released, so that no process is left.
DEADLINE = 900.0


class Heard(ConnectionListener, MessageListener, UserListener):
    """Keeps the numbers of its events, and blocks in the next callback after a command."""

    def __init__(self) -> None:
        self.transitions: List[str] = []
        self.errors: Dict[str, int] = {}
        self.connects = 0
        self.messages: List[int] = []
        self.events: List[int] = []
        self._changed = threading.Condition()
        self._gate = threading.Event()
        self._gate.set()

    def shut(self) -> None:
        """Block in the next callback."""
        self._gate.clear()

    def open(self) -> None:
        """Continue."""
        self._gate.set()

    def wait_until(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """Return whether the predicate is true within the limit. It is called again after each callback."""
        with self._changed:
            return bool(self._changed.wait_for(predicate, timeout))

    def on_connecting(self) -> None:
        self._note_transition("on_connecting")

    def on_connected(self) -> None:
        self._note_transition("on_connected")

    def on_disconnected(self) -> None:
        self._note_transition("on_disconnected")

    def on_connection_error(self, error: CometChatException) -> None:
        self.errors[error.code] = self.errors.get(error.code, 0) + 1
        self._note_transition("on_connection_error")

    def on_text_message_received(self, message: TextMessage) -> None:
        self._note(self.messages, int((message.text or "").partition(" ")[0]))

    def on_typing_started(self, typing_indicator: TypingIndicator) -> None:
        self._note(self.events, int(typing_indicator.metadata["n"]))

    def on_messages_read(self, message_receipt: MessageReceipt) -> None:
        self._note(self.events, int(message_receipt.message_id or ""))

    def on_transient_message_received(self, message: TransientMessage) -> None:
        self._note(self.events, int(message.data["n"]))

    def on_user_online(self, user: User) -> None:
        self._note(self.events, int((user.name or "").partition(" ")[2]))

    def _note(self, noted: List[int], number: int) -> None:
        self._gate.wait(DEADLINE)
        with self._changed:
            noted.append(number)
            self._changed.notify_all()

    def _note_transition(self, name: str) -> None:
        self._gate.wait(DEADLINE)
        with self._changed:
            self.connects += name == "on_connected"
            # For long floods, a count is enough.
            self.transitions = [*self.transitions[-3999:], name]
            self._changed.notify_all()


class Log(logging.Handler):
    """Keeps the SDK's records from INFO on that are about listeners, and all warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.records: List[List[str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "cometchat.listeners" or record.levelno >= logging.WARNING:
            self.records.append([record.name, record.levelname, record.getMessage()])


class Program:
    """The commands."""

    def __init__(self) -> None:
        self._where: Dict[str, Any] = {}
        self._settings: Dict[str, Any] = {}
        self._client: Optional[Client] = None
        self._heard = Heard()
        self._log = Log()
        logger = logging.getLogger("cometchat")
        logger.addHandler(self._log)
        logger.setLevel(logging.INFO)
        logger.propagate = False

    def start(self, app_id: str, auth_key: str, url: str, **settings: Any) -> None:
        """Make the client, log in and wait for the connection."""
        self._where = {"app_id": app_id, "auth_key": auth_key, "url": url}
        self._settings = settings
        self._client = self._new()
        self._client.login(UID, auth_key)
        self._client.connect(20.0)

    def cycle(self, kind: str, count: int) -> None:
        """Log in and out, or make clients and close them, this many times."""
        cycles = {"login": self._log_in_and_out, "client": self._make_and_close}
        for _ in range(count):
            cycles[kind]()

    def shut(self) -> None:
        """Block the listener from the next callback on."""
        self._heard.shut()

    def open(self) -> None:
        """Release the listener."""
        self._heard.open()

    def status(self) -> str:
        """Return the connection's status, and the duration of the call if it was long."""
        began = time.monotonic()
        status = str(self.client.get_connection_status())
        spent = time.monotonic() - began
        return status if spent < 0.5 else f"{status} after {spent:.1f} s"

    def ping(self) -> float:
        """Measure a round trip, in seconds."""
        return self.client.ping(20.0)

    def stats(self) -> Dict[str, Any]:
        """Return the counts."""
        stats = self.client.stats()
        return {name: value for name, value in vars(stats).items() if name != "last_errors"}

    def wait_for(self, what: str, count: int, within: float = 15.0) -> bool:
        """Return whether the listener got this many ``connects``, ``messages`` or ``events`` within the limit."""
        heard = self._heard

        def reached() -> bool:
            value = getattr(heard, what)
            return (value if isinstance(value, int) else len(value)) >= count

        return heard.wait_until(reached, within)

    def heard(self) -> Dict[str, Any]:
        """Return all events, and the lines of the log."""
        heard = self._heard
        return {
            "transitions": heard.transitions,
            "errors": heard.errors,
            "messages": heard.messages,
            "events": heard.events,
            "log": self._log.records,
        }

    def measure(self) -> Dict[str, Any]:
        """Return what this process holds: bytes, threads, descriptors, and objects of this SDK."""
        process = psutil.Process()
        threads = process.num_threads()  # first: it would otherwise count objects of a thread that ends meanwhile
        gc.collect()
        kinds = Counter(map(type, gc.get_objects()))
        ours = {kind.__qualname__: kinds[kind] for kind in kinds if str(kind.__module__).startswith("cometchat.")}
        return {
            "rss": process.memory_info().rss,
            "threads": threads,
            "fds": process.num_fds(),
            "objects": sum(ours.values()),
            "kinds": ours,
        }

    def rss(self) -> int:
        """Return the resident memory in bytes."""
        return int(psutil.Process().memory_info().rss)

    def close(self) -> List[str]:
        """Close the client. Returns the names of the SDK's remaining threads."""
        self._heard.open()
        if self._client is not None:
            self._client.close()
        for thread in threading.enumerate():
            if thread.name.startswith("cometchat-"):
                thread.join(10.0)
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("cometchat-")]

    @property
    def client(self) -> Client:
        """Return the client that was started."""
        assert self._client is not None
        return self._client

    def _new(self) -> Client:
        url = self._where["url"]
        wait = tenacity.wait_fixed(self._settings.get("wait", 0.02))
        settings = {name: value for name, value in self._settings.items() if name != "wait"}
        client = Client(
            self._where["app_id"], AppSettings(admin_host=url, client_host=url, reconnect_wait=wait, **settings)
        )
        client.add_connection_listener("heard", self._heard)
        client.add_message_listener("heard", self._heard)
        client.add_user_listener("heard", self._heard)
        return client

    def _log_in_and_out(self) -> None:
        self.client.login(UID, self._where["auth_key"])
        self.client.connect(20.0)
        self.client.logout()

    def _make_and_close(self) -> None:
        client = self._new()
        client.login(UID, self._where["auth_key"])
        client.connect(20.0)
        client.close()
        self._new().close()


def main() -> None:
    """Carry out commands until the input ends."""
    program = Program()
    names = ["start", "cycle", "shut", "open", "status", "ping", "stats", "wait_for", "heard", "measure", "rss"]
    say("ready")
    obey({name: getattr(program, name) for name in [*names, "close"]})
    program.close()


if __name__ == "__main__":
    main()
