"""send: send one message; without a connection it waits in a file, and the next send delivers it

The message is put into an outbox (an SQLite file) and sent from there. The login is kept beside the file, so that a
message can be stored while a login is not possible. The main thread waits; listeners only put calls into a queue.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import queue
import sys
import threading
import time
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Union

from cometchat import (
    BaseMessage,
    Client,
    CometChatException,
    CometChatWSState,
    CustomMessage,
    FileSessionStore,
    InvalidArgumentException,
    MessageReceipt,
    OutboxListener,
    TextMessage,
)
from cometchat._status_listener import status_listener

from ._account import Account, add_account_options, read_account
from ._entries import next_entry
from ._errors import Failed, UsageError, checked_text, seconds
from ._log import handled_by
from ._screen import Screen, hide, one_line, print_error

#: The exit code after Ctrl-C and SIGTERM, since the delivery was not seen.
INTERRUPTED = 1

#: Maximum wait for the callback about a sent item after the outbox is empty, in seconds.
_NEWS = 1.0

_LONGEST = 86_400.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_account_options(parser)
    receiver = parser.add_mutually_exclusive_group(required=True)
    receiver.add_argument("--to", metavar="UID", help="uid of the receiving user")
    receiver.add_argument("--to-group", metavar="GUID", help="guid of the receiving group")
    parser.add_argument("--text", help="the text (default: standard input)")
    parser.add_argument("--custom-type", metavar="TYPE", help="send a custom message instead of a text; with --data")
    parser.add_argument("--data", metavar="JSON", help="its data, a JSON object")
    place = "cometchat/outbox.db in $XDG_STATE_HOME, else in ~/.local/state"
    parser.add_argument("--outbox", metavar="FILE", help=f"file in which it waits (default: {place})")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, default=10.0, help="maximum wait for the delivery (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Store the message, and wait until it is delivered. Returns 0 if it was."""
    if not 0 <= options.timeout <= _LONGEST:
        raise UsageError("--timeout must be a number of seconds from 0 to 86400")
    account = read_account(options)
    message = _message(options)
    path = options.outbox or default_outbox()
    deadline = time.monotonic() + options.timeout
    settings = account.settings(
        auto_establish_socket_connection=False,
        connect_timeout=min(options.timeout, 10.0) or 10.0,
        outbox_path=path,
        session_store=FileSessionStore(session_path(path, account)),
        settings_refresh_interval=0,
        subscription_type="NONE",
    )
    screen = Screen(secrets=account.secrets, plain=options.no_color)
    with Client(account.app_id, settings) as client:
        post = _Post(client, account, str(settings.outbox_path), deadline)
        try:
            # The outbox logs the error for which it tries again, and calls no listener.
            with handled_by(_ErrorsInLog(post.note), "cometchat.outbox", logging.INFO):
                post.take(message)
                stored = post.wait()
        except queue.Empty:
            limit = f"not delivered within {options.timeout:g} s" if options.timeout else "not delivered yet"
            raise post.kept(limit) from None
        except KeyboardInterrupt:
            if not post.muid:
                raise
            raise post.kept("interrupted") from None
        finally:
            if post.before and not options.json:
                with contextlib.suppress(BrokenPipeError):
                    screen.line(f"delivered before it: {post.before}")
    with contextlib.suppress(BrokenPipeError):  # it is delivered, although nothing reads that
        _show(screen, options.json, stored, post)
    return 0


def default_outbox() -> str:
    """Return the default file, in the user's state folder."""
    folder = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(folder):  # required by the specification
        folder = os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(folder, "cometchat", "outbox.db")


def session_path(outbox: str, account: Account) -> str:
    """Return the file of an account's login. It is beside the outbox, which all accounts share."""
    where = (account.region or "", str(account.fields.get("client_host", "")))
    who = (account.app_id, account.auth_token or (account.uid or "").lower())
    return f"{outbox}.{hashlib.sha256(chr(0).join(who + where).encode()).hexdigest()[:16]}.session"


# The message.


def _message(options: argparse.Namespace) -> Union[TextMessage, CustomMessage]:
    receiver = {"receiver_id": options.to, "receiver_type": "user"}
    if options.to is None:
        receiver = {"receiver_id": options.to_group, "receiver_type": "group"}
    if not receiver["receiver_id"]:
        raise UsageError("missing receiver: use --to UID or --to-group GUID")
    if options.custom_type is None and options.data is None:
        text = checked_text(_standard_input() if options.text is None else options.text, "message")
        if not text.strip():
            raise UsageError("missing text: use --text, or write it to standard input")
        return TextMessage(text=text, **receiver)
    if options.text is not None:
        raise UsageError("--text and --custom-type can't be combined: use one of them")
    if not options.custom_type or options.data is None:
        raise UsageError("a custom message needs both --custom-type TYPE and --data JSON")
    return CustomMessage(
        type=checked_text(options.custom_type, "message"), custom_data=_json_object(options.data), **receiver
    )


def _standard_input() -> str:
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        end = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        print_error(f"The text, then {end}:")
    try:
        text = sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not text in {error.encoding}") from error
    return text[:-1] if text.endswith("\n") else text


def _json_object(text: str) -> Dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--data is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError('--data must be a JSON object, such as {"key": "value"}')
    checked_text(json.dumps(value, ensure_ascii=False), "message")
    return value


# Waiting for it.


class _Post:
    """One message on its way. Listeners and threads only queue calls, which the main thread makes while it waits.

    :ivar before: number of the items that were delivered before it.
    :ivar muid: empty until the outbox has the message.
    """

    def __init__(self, client: Client, account: Account, path: str, deadline: float) -> None:
        self._client = client
        self._account = account
        self._path = path
        self._deadline = deadline
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stored: Optional[BaseMessage] = None
        self._outbox_is_empty = False
        self._error: Optional[CometChatException] = None
        self._status = CometChatWSState.DISCONNECTED
        user = client.get_logged_in_user()
        self._restored = user is not None
        if user is not None:
            account.check(user)
        self.muid = ""
        self.before = 0

    def take(self, message: Union[TextMessage, CustomMessage]) -> None:
        """Put the message into the outbox, and start to connect."""
        results = OutboxListener(on_delivered=self._queued(self._delivered), on_failed=self._queued(self._refused))
        self._client.add_outbox_listener("send", results)
        connection = status_listener(self._queued(self._follow), self.note)
        self._client.add_connection_listener("send", connection)
        if not self._restored:
            self._log_in()
        self.muid = self._client.outbox.put(message)
        self._connect()

    def wait(self) -> Optional[BaseMessage]:
        """Wait for the stored message. Returns None if another process delivered it.

        :raises queue.Empty: the time is over.
        :raises Failed: the message can't be delivered now.
        """
        while self._stored is None:
            try:
                call = next_entry(self._calls, self._deadline)
            except queue.Empty:
                if not self._outbox_is_empty:
                    raise
                self._check_refusal()
                break
            call()
        return self._stored

    def kept(self, reason: str) -> Failed:
        """Return the error for a message that is still in the outbox."""
        because = f" ({self._error})" if self._error else ""
        return Failed(
            f"{reason}{because}; the message waits in {self._path}: the next send, or a client with this outbox,"
            " delivers it"
        )

    def _queued(self, action: Callable[..., None]) -> Callable[..., None]:
        return lambda *values: self._calls.put(partial(action, *values))

    def note(self, error: CometChatException) -> None:
        """Note why the message still waits. Any thread."""
        self._error = error

    def _delivered(self, sent: Union[BaseMessage, MessageReceipt]) -> None:
        if isinstance(sent, BaseMessage) and sent.muid == self.muid:
            self._stored = sent
        else:
            self.before += 1

    def _refused(self, sent: Union[BaseMessage, MessageReceipt], error: CometChatException) -> None:
        if isinstance(sent, BaseMessage) and sent.muid == self.muid:
            self._client.outbox.discard(self.muid)  # the caller still has the message, and gets the error
            raise Failed(f"refused for good: {error}")
        text = hide(one_line(f"something that waited was refused for good: {error}"), self._account.secrets)
        print_error(f"cometchat send: {text}")

    def _follow(self, status: CometChatWSState) -> None:
        before, self._status = self._status, status
        # After `connected` it is a loss, and another attempt follows.
        if (before, status) == (CometChatWSState.CONNECTING, CometChatWSState.DISCONNECTED):
            self._log_in_again()

    def _note_empty_outbox(self) -> None:
        """Wait for the callback only a moment longer: another process may have delivered the message."""
        self._outbox_is_empty = True
        self._deadline = time.monotonic() + _NEWS

    def _fail(self, error: CometChatException) -> None:
        raise Failed(str(error))

    def _check_refusal(self) -> None:
        dead: List[CometChatException] = [
            letter.error for letter in self._client.outbox.dead_letters() if letter.muid == self.muid
        ]
        if dead:
            raise Failed(f"refused for good: {dead[0]}")

    def _log_in(self) -> None:
        try:
            self._account.login(self._client)
        except InvalidArgumentException:
            raise  # wrong usage, which has another exit code
        except CometChatException as error:
            raise Failed(f"the first login failed, the message was not taken: {error}") from error

    def _log_in_again(self) -> None:
        """Log in with the given credential, after the service refused the kept login."""
        if not self._restored:
            raise self.kept("the client stopped trying")
        self._restored = False
        try:
            self._account.login(self._client)
        except CometChatException as error:
            self._error = error
            raise self.kept("the login failed") from error
        self._connect()

    def _connect(self) -> None:
        self._client.connect(timeout=0)
        threading.Thread(target=self._flush, name="flush", daemon=True).start()

    def _flush(self) -> None:
        try:
            if self._client.outbox.flush():
                self._calls.put(self._note_empty_outbox)
        except CometChatException as error:
            if error.code != "USER_NOT_LOGGED_IN":  # the kept login was void; "disconnected" and another login follow
                self._calls.put(partial(self._fail, error))


class _ErrorsInLog(logging.Handler):
    """Pass on the errors in the records of a logger."""

    def __init__(self, note: Callable[[CometChatException], None]) -> None:
        super().__init__()
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        for value in record.args if isinstance(record.args, tuple) else ():
            if isinstance(value, CometChatException):
                self._note(value)


def _show(screen: Screen, as_json: bool, stored: Optional[BaseMessage], post: _Post) -> None:
    message_id = stored.id if stored is not None else None
    if as_json:
        screen.line(json.dumps({"id": message_id, "muid": post.muid, "delivered_before": post.before}))
    elif stored is None:
        screen.line("another process has delivered it, muid ", (post.muid, "call"))
    else:
        screen.line("id ", (one_line(message_id), "call"), ", muid ", (post.muid, "call"))
