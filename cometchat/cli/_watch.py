"""watch: print the live status, one line for each change; --events adds what others do

The main thread prints the lines. The listener and the login only put events into a queue. The login has a separate
thread, so that Ctrl-C and the time limit work while the network hangs.
"""

from __future__ import annotations

import argparse
import json
import queue
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Dict, Optional

from cometchat import Client, CometChatException, CometChatWSState, InvalidArgumentException
from cometchat._status_listener import status_listener

from ._account import Account, add_account_options, read_account
from ._entries import next_entry
from ._errors import Failed, UsageError
from ._events import Event, error_record, line_of, listen, record_of
from ._screen import Screen, one_line, visible

#: The exit code after Ctrl-C, SIGTERM or a closed output pipe, the normal ends of a watch.
INTERRUPTED = 0

#: Maximum number of entries that wait while the output is not read. Further events wait in the client, with its limits.
_MOST_WAITING = 10_000

_STYLES = {
    CometChatWSState.CONNECTED: "good",
    CometChatWSState.CONNECTING: "warn",
    CometChatWSState.DISCONNECTED: "bad",
    CometChatWSState.FEATURE_THROTTLED: "warn",
}


@dataclass(frozen=True)
class Entry:
    """A status, an error or an event. ``failed`` names what failed, if the error ends the watch."""

    time: float
    status: Optional[CometChatWSState] = None
    error: Optional[CometChatException] = None
    failed: Optional[str] = None
    event: Optional[Event] = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_account_options(parser)
    parser.add_argument(
        "--events", action="store_true", help="add messages, presence, typing, receipts, reactions, groups and calls"
    )
    parser.add_argument(
        "--outbox", metavar="FILE", help="with --events: deliver the items in this outbox, and print the results"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line, times in UTC")
    statuses = [status.value for status in CometChatWSState]
    parser.add_argument("--until", metavar="STATUS", choices=statuses, help=f"exit with 0 at: {', '.join(statuses)}")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, help="with --until: exit with 1 if it is not reached in time"
    )


def run(options: argparse.Namespace) -> int:
    """Watch until --until, --timeout, a refused credential, or an interrupt."""
    if options.timeout is not None and (options.until is None or not 0 < options.timeout < threading.TIMEOUT_MAX):
        raise UsageError("--timeout needs --until STATUS, and a number of seconds above 0")
    if options.outbox is not None and not options.events:
        raise UsageError("--outbox FILE needs --events")
    account = read_account(options)
    screen = Screen(secrets=account.secrets, plain=options.no_color)
    entries: queue.Queue[Entry] = queue.Queue(_MOST_WAITING)
    deadline = None if options.timeout is None else time.monotonic() + options.timeout
    watch = _Watch(screen, options.json, options.until)
    settings = account.settings(
        auto_establish_socket_connection=False,
        outbox_path=options.outbox,
        subscription_type="ALL_USERS" if options.events else "NONE",
    )
    with Client(account.app_id, settings) as client:
        client.add_connection_listener(
            "watch",
            status_listener(
                lambda status: entries.put(Entry(time.time(), status)),
                lambda error: entries.put(Entry(time.time(), error=error)),
            ),
        )
        if options.events:
            listen(client, lambda event: entries.put(Entry(time.time(), event=event)))
        if screen.is_terminal and not options.json:
            screen.line((f"{account.app_id}: {account.who}; Ctrl-C ends", "dim"))
        threading.Thread(target=_connect, args=(account, client, entries), name="login", daemon=True).start()
        while True:
            try:
                entry = next_entry(entries, deadline)
            except queue.Empty:
                raise watch.failure(f"not {options.until} within {options.timeout:g} s") from None
            if watch.take(entry):
                return 0


def _connect(account: Account, client: Client, entries: queue.Queue[Entry]) -> None:
    step = "login"
    try:
        account.login(client)  # it also checks the user, before a status could end the watch
        step = "connection"
        client.connect(timeout=0)
        if client.settings.outbox_path is not None:
            step = "outbox"
            client.outbox.pending()  # a file that can't be used is an error
    except CometChatException as error:
        entries.put(Entry(time.time(), error=error, failed=step))
    except Exception as error:  # without this, a watch that waits forever would hide the error
        wrapped = CometChatException("ERR_INTERNAL", f"unexpected {type(error).__name__}: {error}")
        entries.put(Entry(time.time(), error=wrapped, failed=step))


class _Watch:
    """Prints the entries, and decides which of them ends the watch."""

    def __init__(self, screen: Screen, as_json: bool, until: Optional[str]) -> None:
        self._screen = screen
        self._as_json = as_json
        self._until = until
        self._status = CometChatWSState.DISCONNECTED
        self._since: Optional[float] = None
        self._error: Optional[CometChatException] = None

    def take(self, entry: Entry) -> bool:
        """Print the entry. Returns True if --until waits for it.

        :raises Failed: the connection ended for good.
        :raises UsageError: the login's uid, key or token is wrong.
        """
        if entry.event is not None:
            self._print_event(entry.time, entry.event)
            return False
        before = self._status
        self._status = entry.status or before
        self._error = entry.error or self._error
        if self._as_json:
            self._screen.line(json.dumps(self._as_object(entry, before)))
        elif entry.failed:
            pass  # it is printed on standard error
        elif entry.error is not None:
            self._print(entry.time, "error", "bad", one_line(entry.error))
        else:
            lasted = "" if self._since is None else f"after {_duration(entry.time - self._since)} {before.value}"
            self._print(entry.time, self._status.value, _STYLES[self._status], lasted)
        if entry.status is not None:
            self._since = entry.time
        if entry.failed:
            if isinstance(entry.error, InvalidArgumentException):
                raise UsageError(str(entry.error))
            raise self.failure(f"{entry.failed} failed")
        if entry.status is not None and entry.status.value == self._until:
            return True
        # `disconnected` after `connected` is a loss, and another attempt follows. After `connecting` it means that the
        # SDK has stopped trying.
        if entry.status is CometChatWSState.DISCONNECTED and before is CometChatWSState.CONNECTING:
            raise self.failure("the client stopped trying")
        return False

    def _print_event(self, moment: float, event: Event) -> None:
        if self._as_json:
            self._screen.line(json.dumps({"time": _utc(moment), **record_of(event)}))
            return
        line = line_of(event)
        self._print(moment, line.what, "call", visible(line.text))

    def failure(self, text: str) -> Failed:
        """Return the error for the end, with the last error that was seen."""
        return Failed(text if self._error is None else f"{text}: {self._error}")

    def _print(self, moment: float, what: str, style: str, more: str) -> None:
        shown = datetime.fromtimestamp(moment).isoformat(" ", "milliseconds")
        self._screen.line(
            (shown, "dim"), "  ", (f"{what:<16}" if more else what, style), *([f"  {more}"] if more else [])
        )

    def _as_object(self, entry: Entry, before: CometChatWSState) -> Dict[str, Any]:
        record: Dict[str, Any] = {
            "time": _utc(entry.time),
            "event": "status" if entry.status is not None else "error",
            "status": self._status.value,
        }
        if entry.status is not None:
            record["previous"] = before.value
        if entry.error is not None:
            record["error"] = error_record(entry.error)
        return record


def _utc(moment: float) -> str:
    text = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(seconds, 0):.2f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
