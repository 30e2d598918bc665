"""The columns of the matrix: every fault of the sandbox. A standing fault gets an action that it affects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict

from integration.conftest import frame

from cometchat.sandbox import Sandbox


@dataclass(frozen=True)
class Fault:
    """One fault.

    :ivar cause: causes the fault.
    :ivar settings: settings of the client with which it notices the fault soon.
    :ivar when_up: an error is certain if the client is connected.
    :ivar rare: the short form has it in one of four phases.
    """

    cause: Callable[[Sandbox], object]
    settings: Dict[str, Any] = field(default_factory=dict)
    when_up: bool = False
    rare: bool = False
    ends_login: bool = False


def standing(
    cause: Callable[[Sandbox], object], *, rare: bool = False, ends_login: bool = False, **settings: Any
) -> Fault:
    """Return a fault that shows at a new connection, so that open connections are dropped."""

    def both(sandbox: Sandbox) -> None:
        cause(sandbox)
        sandbox.drop_connections()

    return Fault(both, settings, when_up=True, rare=rare, ends_login=ends_login)


def _revoke(sandbox: Sandbox) -> None:
    sandbox.revoke_tokens()
    sandbox.expire_jwts()


def _fail(status: int, **options: Any) -> Callable[[Sandbox], object]:
    def cause(sandbox: Sandbox) -> None:
        # Makes HTTP necessary: the jwt is refused, and the client asks for a new one.
        sandbox.expire_jwts()
        sandbox.fail_http(status, **options)

    return cause


#: In seconds. Short, so that the client soon notices a missing answer.
SOON = 0.25

#: Wait that the service asks for, in seconds. Short, because connect() does not end such a wait after the healing.
ASKED = 1

FAULTS: Dict[str, Fault] = {
    "nothing": Fault(lambda sandbox: None),
    "RST": Fault(lambda sandbox: sandbox.drop_connections(), when_up=True),
    "FIN": Fault(lambda sandbox: sandbox.drop_connections(reset=False), when_up=True, rare=True),
    "close 1000": Fault(lambda sandbox: sandbox.close_connections(1000), when_up=True),
    "close 1012": Fault(lambda sandbox: sandbox.close_connections(1012, "restart"), when_up=True, rare=True),
    "close 4001": Fault(lambda sandbox: sandbox.close_connections(4001, "thrown out"), when_up=True, rare=True),
    "connections refused": standing(lambda sandbox: sandbox.refuse_connections()),
    "upgrades refused, 503": standing(lambda sandbox: sandbox.refuse_upgrades(503)),
    "upgrades refused, 429": standing(lambda sandbox: sandbox.refuse_upgrades(429, retry_after=ASKED)),
    "upgrades hang": standing(lambda sandbox: sandbox.hang_upgrades(), connect_timeout=1.0),
    "HTTP hangs": standing(lambda sandbox: (sandbox.expire_jwts(), sandbox.hang_http()), connect_timeout=SOON),
    "latency": standing(lambda sandbox: sandbox.set_latency(0.03)),
    "HTTP 401": standing(_fail(401)),
    "HTTP 429": standing(_fail(429, retry_after=ASKED)),
    "HTTP 500": standing(_fail(500)),
    "HTTP 503, no JSON": standing(_fail(503, body="<html>busy</html>"), rare=True),
    "mode, later": Fault(lambda sandbox: sandbox.set_mode("LIMITED_TRANSIENT")),
    "mode, pushed": Fault(lambda sandbox: sandbox.set_mode("NO_TRANSIENT", push=True), when_up=True),
    "tokens revoked": standing(_revoke, ends_login=True),
    "jwt expired": standing(lambda sandbox: sandbox.expire_jwts()),
    "auth refused by frame": standing(lambda sandbox: sandbox.refuse_auth()),
    "auth refused by close": standing(lambda sandbox: sandbox.refuse_auth(mode="close"), rare=True),
    "auth refused once": standing(lambda sandbox: sandbox.refuse_auth(times=1), rare=True),
    "auth not answered": standing(lambda sandbox: sandbox.ignore_auth(), auth_timeout=SOON),
    "auth late": standing(lambda sandbox: sandbox.delay_auth(0.05)),
    "no pongs": Fault(
        lambda sandbox: sandbox.ignore_pings(), {"ping_interval": 0.05, "pong_timeout": 0.25}, when_up=True
    ),
    "garbage, text": Fault(lambda sandbox: [sandbox.send_raw(data) for data in ("", "{", "[1]", '{"type": 7}')]),
    "garbage, binary": Fault(lambda sandbox: sandbox.send_raw(bytes(range(256))), rare=True),
    "an auth frame late": Fault(
        lambda sandbox: sandbox.send_raw('{"type": "auth", "body": {"code": "401"}}'), when_up=True, rare=True
    ),
    "broken framing": Fault(lambda sandbox: sandbox.send_wire(frame(1, b"x", rsv=7)), when_up=True),
    "half a frame": Fault(
        lambda sandbox: (sandbox.send_wire(b"\x81\x7e\xff\xff{"), sandbox.drop_connections(reset=False)), when_up=True
    ),
    "a frame too long": Fault(
        lambda sandbox: sandbox.send_wire(b"\x81\x7f" + (2**40).to_bytes(8, "big")), when_up=True, rare=True
    ),
}
