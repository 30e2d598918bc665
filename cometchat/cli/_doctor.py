"""doctor: try each step from DNS to ping, and explain the first failure

It checks the steps from the bottom up, and prints the time and verdict of each. It explains the first failure and then
stops, after it has checked the network to the other known hosts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import textwrap
import time
from datetime import datetime, timezone
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from cometchat import Client, CometChatException
from cometchat._protocol._endpoints import KNOWN_REGIONS

from ._account import Account, add_account_options, read_account
from ._advice import Advice, advice_for, network_advice
from ._errors import UsageError, seconds
from ._probes import HostCheck, Problem, Skipped
from ._screen import Screen, hide, one_line

#: The exit code after Ctrl-C, since the checks did not finish.
INTERRUPTED = 1

#: Maximum and minimum length of a line of an explanation.
_WIDTH, _LEAST_WIDTH = 100, 40


class _Finding(NamedTuple):
    """The result of a step that did not fail. ``timed`` is False if its time is part of the next step's."""

    text: str
    style: str = "good"
    timed: bool = True


class _Result(NamedTuple):
    """The verdict of a step. ``seconds`` is None if another step's time includes this one."""

    step: str
    verdict: str
    seconds: Optional[float] = None
    text: str = ""
    advice: Optional[Advice] = None


#: Verdict -> (sign, style of the sign, style of the text).
_SIGNS: Mapping[str, Tuple[str, str, str]] = {
    "passed": ("✓", "good", ""),
    "warning": ("!", "warn", "warn"),
    "skipped": ("-", "dim", "dim"),
    "failed": ("✗", "bad", "bad"),
    "not tried": ("-", "dim", "dim"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_account_options(parser)
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, default=10.0, help="limit for each step (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Check the account's connection to the service. Returns 0 if every step passed."""
    if not 0 < options.timeout <= 3600:
        raise UsageError("--timeout must be a number of seconds above 0, at most 3600")
    account = read_account(options)
    screen = Screen(secrets=account.secrets, plain=options.no_color)
    results: List[_Result] = []
    with contextlib.closing(_Examination(account, options.timeout)) as examination:
        for result in _walk(examination.steps()):
            results.append(result)
            if not options.json:
                _show(screen, result)
        hosts = examination.hosts()
    failure = next((result for result in results if result.verdict == "failed"), None)
    if options.json:
        screen.line(json.dumps(_as_object(results, failure, hosts, account.secrets)))
    else:
        _conclude(screen, failure, hosts)
    return 0 if failure is None else 1


class _Step(NamedTuple):
    """A step for a group of hosts, or for the whole client."""

    name: str
    run: Callable[[], _Finding]
    group: str = ""
    is_known: Callable[[], bool] = lambda: False


def _walk(steps: List[_Step]) -> Iterator[_Result]:
    """Do the steps up to the first failure, then those of the other known hosts."""
    failed: Set[str] = set()
    carried = 0.0  # the time of a step that is measured with the next one
    for name, step, group, is_known in steps:
        if failed and (group in failed or not is_known()):
            yield _Result(name, "not tried")
            continue
        started = time.monotonic()
        timed = True
        verdict, text, advice = "failed", "", None
        try:
            text, style, timed = step()
            verdict = "passed" if style == "good" else "warning"
        except Skipped as reason:
            verdict, text, timed = "skipped", f"skipped: {reason}", False
        except Problem as problem:
            text, advice = str(problem), network_advice(str(problem))
        except CometChatException as error:
            text, advice = str(error), advice_for(error)
        took = carried + time.monotonic() - started
        carried = 0.0 if timed else took
        if verdict == "failed":
            failed.add(group)
        yield _Result(name, verdict, took if timed else None, one_line(text), advice)


def _show(screen: Screen, result: _Result) -> None:
    """Print the line of a step."""
    sign, style, colour = _SIGNS[result.verdict]
    if result.verdict == "not tried":
        screen.line((f"{sign}  {result.step:<16}{'':>9}  not tried", style))
        return
    shown = "" if result.seconds is None else f"{result.seconds:.3f} s"
    screen.line((f"{sign}  ", style), f"{result.step:<16}", (f"{shown:>9}  ", "dim"), (result.text, colour))


def _conclude(screen: Screen, failure: Optional[_Result], hosts: List[str]) -> None:
    screen.line()
    if failure is None:
        screen.line(("Every step passed.", "good"))
    else:
        screen.line((f"It fails at: {failure.step}", "bad"))
        if failure.advice is not None:
            _explain(screen, "What it means", failure.advice.meaning)
            _explain(screen, "What to do", failure.advice.action)
    if hosts:
        _explain(screen, "Hosts in use", ", ".join(hosts))


def _as_object(
    results: List[_Result], failure: Optional[_Result], hosts: List[str], secrets: List[str]
) -> Dict[str, Any]:
    steps = [
        {"step": each.step, "verdict": each.verdict, "seconds": each.seconds, "text": hide(each.text, secrets)}
        for each in results
    ]
    record: Dict[str, Any] = {"ok": failure is None, "hosts": hosts, "steps": steps, "failure": None}
    if failure is not None and failure.advice is not None:
        record["failure"] = {
            "step": failure.step,
            "error": hide(failure.text, secrets),
            "meaning": failure.advice.meaning,
            "action": failure.advice.action,
        }
    return record


def _explain(screen: Screen, title: str, text: str) -> None:
    columns = shutil.get_terminal_size((_WIDTH, 0)).columns if screen.is_terminal else _WIDTH
    width = max(min(columns, _WIDTH), _LEAST_WIDTH)
    lines = textwrap.wrap(text, width - 17, break_on_hyphens=False)
    for number, line in enumerate(lines):
        screen.line((f"{title if number == 0 else '':<17}", "title"), line)


class _Examination:
    """The steps, and the data that they pass on."""

    def __init__(self, account: Account, timeout: float) -> None:
        self._account = account
        self._timeout = timeout
        self._client: Optional[Client] = None
        self._ca_certs: Optional[str] = None
        self._api: List[HostCheck] = []
        self._socket: List[HostCheck] = []
        self._refused: Optional[CometChatException] = None

    def steps(self) -> List[_Step]:
        """Return all steps in order."""
        return [
            _Step("settings", self.settings),
            *self._layers("API", lambda: self._api),
            _Step("login", self.login),
            _Step("jwt", self.jwt),
            *self._layers("WebSocket", lambda: self._socket),
            _Step("upgrade", self.upgrade),
            _Step("authentication", self.authentication),
            _Step("ping", self.ping),
        ]

    def _layers(self, group: str, probes: Callable[[], List[HostCheck]]) -> Iterator[_Step]:
        """Return the network steps for one group of hosts."""
        for name, layer in (("DNS", HostCheck.dns), ("TCP", HostCheck.tcp), ("TLS", HostCheck.tls)):
            yield _Step(f"{group}: {name}", partial(self._probe, probes, layer), group, lambda: bool(probes()))

    def hosts(self) -> List[str]:
        """Return the known hosts of the client, as ``host:port``."""
        return _names(*self._api, *self._socket)

    def close(self) -> None:
        """Close the client and every connection."""
        for probe in (*self._api, *self._socket):
            probe.close()
        if self._client is not None:
            self._account.log_out(self._client)
            self._client.close()

    def settings(self) -> _Finding:
        """Check the values of the options and the environment."""
        settings = self._account.settings(
            auto_establish_socket_connection=False,
            connect_timeout=self._timeout,
            auth_timeout=self._timeout,
            pong_timeout=min(self._timeout, 3.0),
            settings_refresh_interval=0,
            reconnect_stop=lambda state: True,  # after one attempt
        )
        self._client = Client(self._account.app_id, settings)
        self._ca_certs = settings.ca_certs
        info = self._client.connection_info()
        urls = [info.client_url] if self._account.auth_token else [info.admin_url, info.client_url]
        self._api = self._probes(urls)
        self._socket = self._probes([info.websocket_url])
        where = " and ".join(_names(*self._api))
        text = f"app {self._account.app_id} at {where}; login: {self._account.who}"
        region = self._account.region
        overridden = {"admin_host", "client_host"} & set(self._account.fields)
        if region is not None and region not in KNOWN_REGIONS and not overridden:
            known = ", ".join(KNOWN_REGIONS)
            return _Finding(f"{text}; region {region!r} is not one of {known}: is it your own?", "warn")
        return _Finding(text)

    def login(self) -> _Finding:
        """Log in, over HTTP."""
        user = self._account.login(self._ready)
        return _Finding(f"{user.name or user.uid} ({user.uid})")

    def jwt(self) -> _Finding:
        """Check the jwt from the login, which the WebSocket needs."""
        info = self._ready.connection_info()
        self._socket = self._probes([info.websocket_url])
        if info.jwt_expires_at is None:
            return _Finding("present; it does not say when it expires")
        left = info.jwt_expires_at - time.time()
        moment = datetime.fromtimestamp(info.jwt_expires_at, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        if left <= 0:
            return _Finding(f"expired {moment}, by this machine's clock: is the clock right?", "warn")
        return _Finding(f"present, expires {moment} (in {_span(left)})")

    def upgrade(self) -> _Finding:
        """Make one attempt to connect. The next step reports a failure after the upgrade."""
        try:
            # Time for two attempts, since a refused jwt is renewed once, and for the renewal.
            self._ready.connect(timeout=6 * self._timeout)
        except CometChatException as error:
            if self._ready.connection_info().failed_in in (None, "opening"):
                raise
            self._refused = error
        url = self._ready.connection_info().websocket_url
        return _Finding(f"{url} (timed with the next step)", timed=False)

    def authentication(self) -> _Finding:
        """Report the answer to `auth` in the same attempt."""
        if self._refused is not None:
            raise self._refused
        mode = self._ready.connection_info().mode
        if mode and mode != "DEFAULT":
            return _Finding(
                f"accepted; but MODE is {mode}: typing indicators, receipts and presence are limited", "warn"
            )
        return _Finding("accepted")

    def ping(self) -> _Finding:
        """Measure the round trip of a heartbeat."""
        return _Finding(f"answered after {self._ready.ping(self._timeout) * 1000:.1f} ms")

    @property
    def _ready(self) -> Client:
        assert self._client is not None, "settings() comes first"
        return self._client

    def _probes(self, urls: Sequence[Optional[str]]) -> List[HostCheck]:
        """Return a probe for each different known host. One port with and without TLS counts as two."""
        probes = [HostCheck(url, self._ca_certs, self._timeout) for url in urls if url]
        return list({(probe.name, probe.secure): probe for probe in probes}.values())

    def _probe(self, probes: Callable[[], List[HostCheck]], layer: Callable[[HostCheck], str]) -> _Finding:
        """Check one layer of each host. Skipped if all hosts skip it. Names all hosts that fail."""
        found, failed, skipped = [], [], None
        for probe in probes():
            try:
                found.append(layer(probe))
            except Skipped as reason:
                skipped = reason
            except Problem as problem:
                failed.append(str(problem))
        if failed:
            raise Problem("; ".join(dict.fromkeys(failed)))
        if not found:
            raise skipped or Skipped("the server named no usable address")
        return _Finding("; ".join(dict.fromkeys(found)))


def _names(*probes: HostCheck) -> List[str]:
    return list(dict.fromkeys(probe.name for probe in probes))


def _span(seconds: float) -> str:
    days, hours = seconds / 86_400, seconds / 3600
    if days >= 2:
        return f"{days:.0f} days"
    return f"{hours:.1f} hours" if hours >= 1 else f"{seconds / 60:.0f} minutes"
