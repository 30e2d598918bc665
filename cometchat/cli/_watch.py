"""watch: print the live status, one line for each change; --events adds what others do

The main thread prints the lines. The listeners and the login only put calls into a queue. The login has a separate
thread, so that Ctrl-C and the time limit work while the network hangs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import queue
import threading
import time
from datetime import datetime, timezone
from functools import partial
from typing import Any, Callable, Dict, Optional

from cometchat import Client, CometChatException, CometChatWSState, InvalidArgumentException
from cometchat._status_listener import status_listener

from ._account import Account, add_account_options, read_account
from ._entries import next_entry
from ._errors import Failed, UsageError, seconds
from ._events import Event, error_record, line_of, listen, record_of
from ._screen import Screen, one_line, visible

#: The exit code after Ctrl-C, SIGTERM or a closed output pipe, the normal ends of a watch.
INTERRUPTED = 0

#: Maximum number of calls that wait while the output is not read. Further events wait in the client, with its limits.
_MOST_WAITING = 10_000

_STYLES = {
    CometChatWSState.CONNECTED: "good",
    CometChatWSState.CONNECTING: "warn",
    CometChatWSState.DISCONNECTED: "bad",
    CometChatWSState.FEATURE_THROTTLED: "warn",
}


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
        "--timeout", metavar="SECONDS", type=seconds, help="with --until: exit with 1 if it is not reached in time"
    )


def run(options: argparse.Namespace) -> int:
    """Watch until --until, --timeout, a refused credential, or an interrupt."""
    if options.timeout is not None and (options.until is None or not 0 < options.timeout < threading.TIMEOUT_MAX):
        raise UsageError("--timeout needs --until STATUS, and a number of seconds above 0")
    if options.outbox is not None and not options.events:
        raise UsageError("--outbox FILE needs --events")
    account = read_account(options)
    screen = Screen(secrets=account.secrets, plain=options.no_color)
    deadline = None if options.timeout is None else time.monotonic() + options.timeout
    watch = _Watch(screen, options.json, options.until)
    settings = account.settings(
        auto_establish_socket_connection=False,
        outbox_path=options.outbox,
        subscription_type="ALL_USERS" if options.events else "NONE",
    )
    calls: queue.Queue[Callable[[], None]] = queue.Queue(_MOST_WAITING)

    def queued(action: Callable[..., None]) -> Callable[..., None]:
        return lambda *values: calls.put(partial(action, time.time(), *values))

    with Client(account.app_id, settings) as client, contextlib.ExitStack() as at_end:
        at_end.callback(account.log_out, client)
        client.add_connection_listener("watch", status_listener(queued(watch.show_status), queued(watch.show_error)))
        if options.events:
            listen(client, queued(watch.show_event))
        if screen.is_terminal and not options.json:
            screen.line((f"{account.app_id}: {account.who}; Ctrl-C ends", "dim"))
        arguments = account, client, queued(watch.end)
        threading.Thread(target=_connect, args=arguments, name="login", daemon=True).start()
        while not watch.is_done:
            try:
                call = next_entry(calls, deadline)
            except queue.Empty:
                raise watch.failure(f"not {options.until} within {options.timeout:g} s") from None
            call()
    return 0


def _connect(account: Account, client: Client, fail: Callable[[str, CometChatException], None]) -> None:
    step = "login"
    try:
        account.login(client)  # it also checks the user, before a status could end the watch
        step = "connection"
        client.connect(timeout=0)
        if client.settings.outbox_path is not None:
            step = "outbox"
            client.outbox.pending()  # a file that can't be used is an error
    except CometChatException as error:
        fail(step, error)
    except Exception as error:  # without this, a watch that waits forever would hide the error
        fail(step, CometChatException("ERR_INTERNAL", f"unexpected {type(error).__name__}: {error}"))


class _Watch:
    """Prints what happens, and decides what ends the watch. Times are Unix seconds.

    :ivar is_done: whether the status is the one that --until names.
    """

    def __init__(self, screen: Screen, as_json: bool, until: Optional[str]) -> None:
        self._screen = screen
        self._as_json = as_json
        self._until = until
        self._status = CometChatWSState.DISCONNECTED
        self._since: Optional[float] = None
        self._error: Optional[CometChatException] = None
        self.is_done = False

    def show_status(self, moment: float, status: CometChatWSState) -> None:
        """Print the new status.

        :raises Failed: the connection ended for good.
        """
        before, self._status = self._status, status
        if self._as_json:
            self._print_json(moment, {"event": "status", "status": status.value, "previous": before.value})
        else:
            lasted = "" if self._since is None else f"after {_duration(moment - self._since)} {before.value}"
            self._print(moment, status.value, _STYLES[status], lasted)
        self._since = moment
        self.is_done = status.value == self._until
        # `disconnected` after `connected` is a loss, and another attempt follows. After `connecting` it means that the
        # SDK has stopped trying.
        if not self.is_done and (before, status) == (CometChatWSState.CONNECTING, CometChatWSState.DISCONNECTED):
            raise self.failure("the client stopped trying")

    def show_error(self, moment: float, error: CometChatException) -> None:
        """Print the error of a connection or of an attempt."""
        self._error = error
        if self._as_json:
            self._print_json(moment, {"event": "error", "status": self._status.value, "error": error_record(error)})
        else:
            self._print(moment, "error", "bad", one_line(error))

    def show_event(self, moment: float, event: Event) -> None:
        """Print an action of another user."""
        if self._as_json:
            self._print_json(moment, record_of(event))
        else:
            line = line_of(event)
            self._print(moment, line.what, "call", visible(line.text))

    def end(self, moment: float, step: str, error: CometChatException) -> None:
        """End the watch, because a step before the connection failed. Without JSON, only standard error has the error.

        :raises UsageError: the login's uid, key or token is wrong.
        :raises Failed: any other error.
        """
        self._error = error
        if self._as_json:
            self.show_error(moment, error)
        if isinstance(error, InvalidArgumentException):
            raise UsageError(str(error))
        raise self.failure(f"{step} failed")

    def failure(self, text: str) -> Failed:
        """Return the error for the end, with the last error that was seen."""
        return Failed(text if self._error is None else f"{text}: {self._error}")

    def _print(self, moment: float, what: str, style: str, more: str) -> None:
        shown = datetime.fromtimestamp(moment).isoformat(" ", "milliseconds")
        self._screen.line(
            (shown, "dim"), "  ", (f"{what:<16}" if more else what, style), *([f"  {more}"] if more else [])
        )

    def _print_json(self, moment: float, record: Dict[str, Any]) -> None:
        self._screen.line(json.dumps({"time": _utc(moment), **record}))


def _utc(moment: float) -> str:
    text = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(seconds, 0):.2f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
