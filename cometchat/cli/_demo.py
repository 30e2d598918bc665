"""demo: watch a client log in, connect, lose the connection, reconnect, be throttled, and log out

Everything on the screen is real: a ``Client`` uses HTTP and WebSocket with a sandbox in this process. The lines with an
arrow show what the sandbox received; the others are calls of the client's ``ConnectionListener``. The demo waits for
each step, up to a deadline, and never sleeps.
"""

from __future__ import annotations

import argparse
import json
import queue
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from cometchat import Client, CometChatException, CometChatWSState, ConnectionListener, __version__

from ._entries import next_entry
from ._errors import Failed
from ._sandbox import make_sandbox
from ._screen import Screen, Span, one_line

if TYPE_CHECKING:
    from cometchat.sandbox import Sandbox

#: The exit code after Ctrl-C, since not every step was seen.
INTERRUPTED = 1

_UID = "cometchat-uid-1"

#: Maximum time for one step, and for all steps, in seconds.
_STEP_LIMIT, _LIMIT = 6.0, 20.0

_REMARKS = {
    "on_connecting": "the first attempt begins",
    "on_connected": "the server has accepted the jwt: only now is the status connected",
    "on_disconnected": "the status is disconnected",
    "on_feature_throttled": "still connected; typing indicators and receipts are limited",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add no options: this command has none of its own."""


def run(options: argparse.Namespace) -> int:
    """Show every step. Returns 0 if all steps were seen."""
    screen = Screen(plain=options.no_color)
    with make_sandbox() as sandbox:
        # The demo uses the default reconnect strategy, like your program.
        settings = sandbox.settings(
            auto_establish_socket_connection=False,
            settings_refresh_interval=0.4,
            connect_timeout=3.0,
            auth_timeout=3.0,
            proxies={"http": None, "https": None},  # the environment's can't reach this process
        )
        with Client(sandbox.app_id, settings) as client:
            _Demo(screen, sandbox, client).play()
    return 0


class _Call(NamedTuple):
    """A call of a listener's method."""

    time: float
    method: str
    error: Optional[CometChatException] = None


class _Line(NamedTuple):
    """A line to print, with the time at which it happened."""

    time: float
    spans: List[Span]


class _Demo:
    """The steps, in order."""

    def __init__(self, screen: Screen, sandbox: Sandbox, client: Client) -> None:
        self._screen = screen
        self._sandbox = sandbox
        self._client = client
        self._calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._start = time.monotonic()
        self._step = 0
        self._shown: Dict[str, int] = {"requests": 0, "attempts": 0, "frames": 0}

    def play(self) -> None:
        """Play all steps.

        :raises Failed: a step was not seen.
        """
        self._screen.line(
            ("cometchat ", "title"), __version__, " on a sandbox, a local stand-in for the service: ", self._sandbox.url
        )
        self._screen.line(
            ("Left: seconds. → received by the sandbox. Other lines: calls of your listener.", "dim")
        )
        callbacks = {name: self._record(name) for name in (*_REMARKS, "on_connection_error")}
        self._client.add_connection_listener("demo", ConnectionListener(**callbacks))
        for step in (self._login, self._connect, self._lose, self._return, self._throttle, self._restore, self._leave):
            step()
        self._check(self._calls.empty(), "a listener's method was called after the logout")
        self._screen.line()
        self._screen.line(("✓ Every step was seen", "good"), f", in {time.monotonic() - self._start:.1f} s.")

    def _login(self) -> None:
        self._title("Log in over HTTP")
        user = self._client.login(_UID, self._sandbox.auth_key)
        self._check(user.uid == _UID, "the login returned another user")
        self._check_request("PUT", "/me")
        said = f"login() returned {user.name} ({user.uid}); the answer brought the jwt for the WebSocket"
        self._print_step(said=said)

    def _connect(self) -> None:
        self._title("Connect over WebSocket")
        self._client.connect(timeout=self._left())
        calls = self._expect("on_connecting", "on_connected")
        self._check(self._sandbox.wait_for_connections(1, self._left()), "the sandbox has no authenticated connection")
        self._print_step(calls)
        trip = self._client.ping(self._left())
        self._print_step(said=f"ping() took {trip * 1000:.1f} ms: the heartbeat's frames go both ways")
        self._check_status(CometChatWSState.CONNECTED)

    def _lose(self) -> None:
        self._title("Lose the connection: the sandbox resets it, like a network that breaks")
        self._check(self._sandbox.drop_connections() == 1, "there was no connection to drop")
        self._lost_at = time.monotonic()
        self._print_step(
            self._expect("on_connection_error", "on_disconnected", "on_connecting"),
            remark="automatically, after a random 0 to 1 s; longer after each failure",
            wire=False,  # if the first retry has already begun, it belongs to the next step
        )

    def _return(self) -> None:
        self._title("Come back")
        calls = self._expect("on_connected")
        self._check(self._sandbox.wait_for_connections(1, self._left()), "the sandbox has no authenticated connection")
        self._print_step(calls, remark=f"back, {calls[-1].time - self._lost_at:.2f} s after the loss")
        self._check_status(CometChatWSState.CONNECTED)

    def _throttle(self) -> None:
        self._title("Be throttled: the service sets MODE to LIMITED_TRANSIENT")
        self._sandbox.set_mode("LIMITED_TRANSIENT")
        self._print_step(self._expect("on_feature_throttled"))
        self._check_status(CometChatWSState.FEATURE_THROTTLED)

    def _restore(self) -> None:
        self._title("Recover: MODE is DEFAULT again")
        self._sandbox.set_mode("DEFAULT")
        self._print_step(self._expect("on_connected"), remark="all features are back")
        self._check_status(CometChatWSState.CONNECTED)

    def _leave(self) -> None:
        self._title("Say goodbye")
        self._client.logout()
        calls = self._expect("on_disconnected")
        self._check(self._sandbox.wait_for_connections(0, self._left()), "the sandbox still has the connection")
        self._check_request("DELETE", "/me")
        self._print_step(calls, said="logout() returned: the connection is closed, the token void")
        self._check_status(CometChatWSState.DISCONNECTED)

    # Seeing.

    def _record(self, method: str) -> Callable[..., None]:
        return lambda *error: self._calls.put(_Call(time.monotonic(), method, *error))

    def _expect(self, *methods: str) -> List[_Call]:
        """Return the listener's next calls. Raises Failed if they are not the expected ones."""
        calls: List[_Call] = []
        for method in methods:
            try:
                call = next_entry(self._calls, time.monotonic() + self._left())
            except queue.Empty:
                raise self._failure(f"{method}() was not called in time") from None
            self._check(call.method == method, f"{call.method}() was called instead of {method}()", call.error)
            calls.append(call)
        return calls

    def _check_request(self, method: str, path: str) -> None:
        seen = any(r.method == method and r.path.endswith(path) and r.status == 200 for r in self._sandbox.requests)
        self._check(seen, f"the sandbox got no good {method} {path}")

    def _check_status(self, status: CometChatWSState) -> None:
        actual = self._client.get_connection_status()
        self._check(actual == status, f"the status is {actual}, not {status}")

    def _check(self, seen: bool, reason: str, error: Optional[CometChatException] = None) -> None:
        if not seen:
            raise self._failure(f"{reason} ({error})" if error else reason)

    def _failure(self, reason: str) -> Failed:
        return Failed(f"step {self._step}: {reason}")

    def _left(self) -> float:
        """Return the seconds that the current step may still wait."""
        return max(min(_STEP_LIMIT, self._start + _LIMIT - time.monotonic()), 0.01)

    # Telling.

    def _title(self, text: str) -> None:
        self._step += 1
        self._screen.line()
        self._screen.line((f"{self._step}. {text}", "title"))

    def _print_step(self, calls: Sequence[_Call] = (), *, remark: str = "", said: str = "", wire: bool = True) -> None:
        """Print the events of this step, in their order.

        :param remark: for the last call, instead of the usual remark.
        :param said: a line at the end.
        """
        lines = [_Line(call.time, _spans_of_call(call, remark if call is calls[-1] else "")) for call in calls]
        lines += self._new_on_wire() if wire else []
        if said:
            lines.append(_Line(time.monotonic(), ["  ", said]))
        for line in sorted(lines, key=lambda line: line.time):
            self._screen.line((f"{line.time - self._start:8.3f}  ", "dim"), *line.spans)

    def _new_on_wire(self) -> List[_Line]:
        """Return the lines for the requests and frames since the last call. (Frames have no time.)"""
        requests = [_Line(r.time, _spans_of_wire(f"{r.method} {r.path}", str(r.status))) for r in self._new("requests")]
        attempts = self._new("attempts")
        upgrades = [_Line(each.time, _spans_of_wire(f"GET {each.path}", "upgrade to WebSocket")) for each in attempts]
        after = upgrades[-1].time if upgrades else time.monotonic()
        frames = [_Line(after, _spans_of_wire(_frame_text(frame), "")) for _, frame in self._new("frames")]
        return requests + upgrades + frames

    def _new(self, kind: str) -> List[Any]:
        records: List[Any] = getattr(self._sandbox, kind)
        fresh = records[self._shown[kind] :]
        self._shown[kind] = len(records)
        return fresh


def _spans_of_wire(text: str, remark: str) -> List[Span]:
    return [("→ ", "wire"), f"{text:<48}" if remark else text, (f" {remark}" if remark else "", "dim")]


def _frame_text(frame: Dict[str, Any]) -> str:
    """Return a short form of a frame, without the jwt."""
    if frame.get("type") == "auth":
        return f'{{"type": "auth", "sender": "{frame.get("sender")}", "body": {{"auth": the jwt, …}}, …}}'
    return json.dumps(frame)


def _spans_of_call(call: _Call, remark: str) -> List[Span]:
    if call.error is not None:
        return [("  on_connection_error()   ", "bad"), one_line(call.error)]
    return [(f"  {call.method + '()':<24}", "call"), (remark or _REMARKS[call.method], "dim")]
