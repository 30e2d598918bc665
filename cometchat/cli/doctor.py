"""doctor: what works and what does not, step by step, and what to do about it

The steps go from the bottom up, each with its time and verdict. The first failure ends it, and is explained.
"""

from __future__ import annotations

import argparse
import contextlib
import textwrap
import time
from datetime import datetime, timezone
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

from cometchat import Client, CometChatException

from .account import Account, add_account_options, read_account
from .advice import Advice, advice_for, network_advice
from .errors import Failed, UsageError
from .probes import HostProbe, Problem, Skipped
from .screen import Screen, one_line

#: The exit code after Ctrl-C: the examination has not come to its end.
INTERRUPTED = 1

_WIDTH = 100


class _Finding(NamedTuple):
    """What a step found where it did not fail. ``timed`` is off where the step's time is part of the next one's."""

    text: str
    style: str = "good"
    timed: bool = True


class _Failure(NamedTuple):
    step: str
    text: str
    advice: Advice


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    add_account_options(parser)
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=10.0, help="limit for each step (default: 10)"
    )


def run(options: argparse.Namespace) -> int:
    """Examine the account's way to the service; 0 if every step passed."""
    if not 0 < options.timeout <= 3600:
        raise UsageError("--timeout must be a number of seconds above 0, at most 3600")
    account = read_account(options)
    screen = Screen(secrets=account.secrets)
    with contextlib.closing(_Examination(account, options.timeout)) as examination:
        failure = _walk(screen, examination.steps())
    screen.line()
    if failure is None:
        screen.line(("Every step passed.", "good"))
        return 0
    screen.line((f"It fails at: {failure.step}", "bad"))
    _explain(screen, "What it means", failure.advice.meaning)
    _explain(screen, "What to do", failure.advice.action)
    raise Failed(f"{failure.step}: {failure.text}")


_Step = Tuple[str, Callable[[], _Finding]]


def _walk(screen: Screen, steps: List[_Step]) -> Optional[_Failure]:
    """Do the steps up to the first failure, and print a line for each."""
    failure: Optional[_Failure] = None
    carried = 0.0  # the time of a step that is timed with the next one
    for name, step in steps:
        if failure is not None:
            screen.line((f"-  {name:<16}{'':>9}  not tried", "dim"))
            continue
        started = time.monotonic()
        sign, text, style, timed = "✓", "", "good", True
        try:
            text, style, timed = step()
            sign = "✓" if style == "good" else "!"
        except Skipped as reason:
            sign, text, style, timed = "-", f"skipped: {reason}", "dim", False
        except Problem as problem:
            sign, text, style = "✗", str(problem), "bad"
            failure = _Failure(name, text, network_advice(text))
        except CometChatException as error:
            sign, text, style = "✗", str(error), "bad"
            failure = _Failure(name, text, advice_for(error))
        took = carried + time.monotonic() - started
        carried = 0.0 if timed else took
        shown = f"{took:.3f} s" if timed else ""
        colour = "" if style == "good" else style
        screen.line((f"{sign}  ", style), f"{name:<16}", (f"{shown:>9}  ", "dim"), (one_line(text), colour))
    return failure


def _explain(screen: Screen, title: str, text: str) -> None:
    lines = textwrap.wrap(text, _WIDTH - 17)
    for number, line in enumerate(lines):
        screen.line((f"{title if number == 0 else '':<17}", "title"), line)


def _once(state: Any) -> bool:
    """The stop strategy of a single attempt."""
    return True


class _Examination:
    """The steps, and what they hand on to each other."""

    def __init__(self, account: Account, timeout: float) -> None:
        self._account = account
        self._timeout = timeout
        self._client: Optional[Client] = None
        self._api: List[HostProbe] = []
        self._socket: List[HostProbe] = []
        self._refused: Optional[CometChatException] = None

    def steps(self) -> List[_Step]:
        """All steps in order: (name, what to do)."""
        return [
            ("settings", self.settings),
            ("API: DNS", lambda: self._probe(self._api, HostProbe.dns)),
            ("API: TCP", lambda: self._probe(self._api, HostProbe.tcp)),
            ("API: TLS", lambda: self._probe(self._api, HostProbe.tls)),
            ("login", self.login),
            ("jwt", self.jwt),
            ("WebSocket: DNS", lambda: self._probe(self._socket, HostProbe.dns)),
            ("WebSocket: TCP", lambda: self._probe(self._socket, HostProbe.tcp)),
            ("WebSocket: TLS", lambda: self._probe(self._socket, HostProbe.tls)),
            ("upgrade", self.upgrade),
            ("authentication", self.authentication),
            ("ping", self.ping),
        ]

    def close(self) -> None:
        """Let every connection go."""
        for probe in (*self._api, *self._socket):
            probe.close()
        if self._client is not None:
            self._client.close()

    def settings(self) -> _Finding:
        """Are the values such as can work?"""
        settings = self._account.settings(
            auto_establish_socket_connection=False,
            connect_timeout=self._timeout,
            auth_timeout=self._timeout,
            pong_timeout=min(self._timeout, 3.0),
            settings_refresh_interval=0,
            reconnect_stop=_once,
        )
        self._client = Client(self._account.app_id, settings)
        info = self._client.connection_info()
        urls = [info.client_url] if self._account.auth_token else [info.admin_url, info.client_url]
        self._api = self._probes(urls)
        where = " and ".join(probe.name for probe in self._api)
        return _Finding(f"app {self._account.app_id} at {where}; login: {self._account.who}")

    def login(self) -> _Finding:
        """The HTTP calls of a login."""
        user = self._account.login(self._ready)
        return _Finding(f"{user.name or user.uid} ({user.uid})")

    def jwt(self) -> _Finding:
        """The credential that the WebSocket wants came with the login."""
        info = self._ready.connection_info()
        self._socket = self._probes([info.websocket_url] if info.websocket_url else [])
        if info.jwt_expires_at is None:
            return _Finding("present; it does not say when it expires")
        left = info.jwt_expires_at - time.time()
        moment = datetime.fromtimestamp(info.jwt_expires_at, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        if left <= 0:
            return _Finding(f"expired {moment}, by this machine's clock: is the clock right?", "warn")
        return _Finding(f"present, expires {moment} (in {_span(left)})")

    def upgrade(self) -> _Finding:
        """One attempt to connect; what went wrong after the upgrade is the next step's to say."""
        try:
            # Twice each of TCP, TLS, upgrade and `auth`, since a refused jwt is renewed once; and the renewal.
            self._ready.connect(timeout=6 * self._timeout)
        except CometChatException as error:
            if self._ready.connection_info().failed_in in (None, "opening"):
                raise
            self._refused = error
        url = self._ready.connection_info().websocket_url
        return _Finding(f"{url} (timed with the next step)", timed=False)

    def authentication(self) -> _Finding:
        """The verdict of the same attempt on `auth`."""
        if self._refused is not None:
            raise self._refused
        mode = self._ready.connection_info().mode
        if mode and mode != "DEFAULT":
            return _Finding(
                f"accepted; but MODE is {mode}: typing indicators, receipts and presence are limited", "warn"
            )
        return _Finding("accepted")

    def ping(self) -> _Finding:
        """The heartbeat's round trip."""
        return _Finding(f"answered after {self._ready.ping(self._timeout) * 1000:.1f} ms")

    @property
    def _ready(self) -> Client:
        assert self._client is not None, "settings() comes first"
        return self._client

    def _probes(self, urls: List[str]) -> List[HostProbe]:
        """A probe for each different host."""
        probes = [HostProbe(url, self._account.hosts.get("ca_certs"), self._timeout) for url in urls]
        return list({probe.name: probe for probe in probes}.values())

    def _probe(self, probes: List[HostProbe], layer: Callable[[HostProbe], str]) -> _Finding:
        """One layer of each host. Skipped where it is for all of them."""
        found, skipped = [], None
        for probe in probes:
            try:
                found.append(layer(probe))
            except Skipped as reason:
                skipped = reason
        if not found:
            raise skipped or Skipped("the server named no host")
        return _Finding("; ".join(found))


def _span(seconds: float) -> str:
    days, hours = seconds / 86_400, seconds / 3600
    if days >= 2:
        return f"{days:.0f} days"
    return f"{hours:.1f} hours" if hours >= 1 else f"{seconds / 60:.0f} minutes"
