"""AppSettings: what a client needs to know, checked when made."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterator,
    Literal,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Union,
)
from urllib.parse import urlsplit

from ._environment import name_variable, read_fields
from ._fields import plain_text
from ._paths import checked_path
from .exceptions import InvalidArgumentException, invalid, invalid_value, missing

if TYPE_CHECKING:
    from .status_store import StatusStore

SUBSCRIPTION_TYPES = ("ALL_USERS", "FRIENDS", "ROLES", "NONE")

#: Bytes. The default cap on one WebSocket message.
DEFAULT_MAX_MESSAGE_SIZE = 16 * 1024 * 1024

#: The default of how many events wait for slow listeners.
DEFAULT_MAX_QUEUED_EVENTS = 10_000

#: The default of how many items the outbox takes.
DEFAULT_OUTBOX_MAX_ITEMS = 100_000

#: Seconds. The longest time that any setting may name: a day.
LONGEST = 86_400.0


class SessionStore(Protocol):
    """Where the logged-in session is kept. ``FileSessionStore`` and ``MemorySessionStore`` are two.

    Calls come from the thread that logs in or out, and from the connection thread when a token is replaced; never two
    at once from one client. What a method raises is logged as a warning: a login holds without its store.
    """

    def load(self) -> Optional[Mapping[str, Any]]:
        """The stored session (JSON-able), or None."""

    def save(self, session: Mapping[str, Any]) -> None:
        """Keep the session in place of the old one. It holds the auth token: keep it where only the user can read."""

    def clear(self) -> None:
        """Forget the session."""


#: What tenacity calls to learn how long to wait (seconds) and whether to stop; any of tenacity's own fits.
WaitStrategy = Callable[[Any], float]
StopStrategy = Callable[[Any], bool]


class _FrozenMapping(Mapping[str, str]):
    """A mapping that stays as it is, and that, unlike ``MappingProxyType``, can be hashed, copied and pickled."""

    def __init__(self, items: Mapping[str, str]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> str:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))


@dataclass(frozen=True, init=False, eq=False)
class AppSettings:
    """The settings of a client. Keyword-only, immutable, checked when made.

    :param region: ``"us"``, ``"eu"``, ``"in"`` or another region's name. Required unless both hosts are overridden.
    :param subscription_type: whose presence is wanted: ``"ALL_USERS"``, ``"FRIENDS"``, ``"ROLES"`` or ``"NONE"`` (the
        vendor's default).
    :param roles: the roles, with ``"ROLES"`` only.
    :param auto_establish_socket_connection: True connects at login; False leaves ``connect()`` to you.
    :param admin_host: in place of the app's admin API; ``host[:port][/path]`` means https, an explicit ``http://`` or
        ``https://`` is taken as given.
    :param client_host: the same for the client API.
    :param connect_timeout: seconds (> 0) for TCP, TLS and upgrade, and for each HTTP answer.
    :param auth_timeout: seconds (> 0) for the answer to ``auth``.
    :param ping_interval: seconds (> 0) between heartbeats.
    :param pong_timeout: seconds (> 0) to wait for the answer to one.
    :param reconnect_wait: a tenacity ``wait`` strategy. Default: the first retry after a random 0 to 1 s, then
        exponential with full jitter, at most 30 s.
    :param reconnect_stop: a tenacity ``stop`` strategy. Default: never.
    :param settings_refresh_interval: seconds (>= 0) between looks at the service's ``MODE`` while connected; 0: none.
    :param max_message_size: bytes (>= 1024) that one WebSocket message may have; a larger one ends the connection
        with close code 1009 and ``ERR_PROTOCOL``.
    :param max_queued_events: how many events (>= 100) wait for listeners that are slow. Beyond it typing indicators,
        receipts, presence and the like are dropped, the oldest first, and messages are fetched again once there is
        room; changes of the connection's status are never dropped.
    :param fetch_missed_messages: True asks the service, after each reconnect, for the messages that came in between,
        and delivers them before the live ones.
    :param connect_after_fork: True connects in the child of a fork where the parent was to be connected; False leaves
        ``connect()`` to the child.
    :param allow_insecure_socket: False refuses a WebSocket without TLS (``ERR_INSECURE_SOCKET``) where the client API
        is called with TLS, so that no attacker on the way can take the encryption away. True takes what the service's
        settings say.
    :param allowed_hosts: names of your own hosts that the service's settings may name as its API (on-premise). Calls go
        there after the login. The service's own domains are always allowed; any other host is not used, and warned of.
    :param proxies: as ``requests`` takes them: ``{"https": "http://proxy:3128"}``. Default: the environment's. The
        socket goes the same way (``https`` for wss, ``http`` for ws).
    :param ca_certs: path of a CA bundle file or folder. Default: the environment's (``REQUESTS_CA_BUNDLE``,
        ``CURL_CA_BUNDLE``), else certifi's.
    :param client_cert: the client's certificate, for hosts that want one (mutual TLS): the path of a PEM file with the
        certificate and its key, or the paths of both.
    :param session_store: where the login is kept. Default: in memory.
    :param status_store: shares one connection among processes: ``cometchat.contrib.redis.RedisStatusStore``. Default:
        each client has its own.
    :param inbox_path: file of the durable inbox, made where it is missing: it records which messages the callbacks have
        handled, so that after a restart or a ``kill -9`` none is skipped, and only the one in progress is repeated.
        Default: none; a new process begins with the newest message. Needs ``fetch_missed_messages``.
    :param outbox_path: file of ``Client.outbox``, made where it is missing; several processes may share it. Default: in
        memory.
    :param outbox_max_items: how many items (1 to 2147483647) of a user the outbox takes.
    :raises CometChatException: ``MISSING_PARAMETERS`` or ``INVALID_<FIELD>``, naming the field and what it may be.
    """

    region: Optional[str]
    subscription_type: Literal["ALL_USERS", "FRIENDS", "ROLES", "NONE"]
    roles: Tuple[str, ...]
    auto_establish_socket_connection: bool
    admin_host: Optional[str]
    client_host: Optional[str]
    connect_timeout: float
    auth_timeout: float
    ping_interval: float
    pong_timeout: float
    reconnect_wait: Optional[WaitStrategy]
    reconnect_stop: Optional[StopStrategy]
    settings_refresh_interval: float
    max_message_size: int
    max_queued_events: int
    fetch_missed_messages: bool
    connect_after_fork: bool
    allow_insecure_socket: bool
    allowed_hosts: Tuple[str, ...]
    #: Out of the repr: a proxy's address may hold a password.
    proxies: Optional[Mapping[str, str]] = field(repr=False)
    ca_certs: Optional[str]
    client_cert: Union[str, Tuple[str, str], None]
    session_store: Optional[SessionStore]
    status_store: Optional[StatusStore]
    inbox_path: Optional[str]
    outbox_path: Optional[str]
    outbox_max_items: int

    def __init__(
        self,
        *,
        region: Optional[str] = None,
        subscription_type: Literal["ALL_USERS", "FRIENDS", "ROLES", "NONE"] = "NONE",
        roles: Sequence[str] = (),
        auto_establish_socket_connection: bool = True,
        admin_host: Optional[str] = None,
        client_host: Optional[str] = None,
        connect_timeout: float = 10.0,
        auth_timeout: float = 10.0,
        ping_interval: float = 15.0,
        pong_timeout: float = 3.0,
        reconnect_wait: Optional[WaitStrategy] = None,
        reconnect_stop: Optional[StopStrategy] = None,
        settings_refresh_interval: float = 60.0,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
        max_queued_events: int = DEFAULT_MAX_QUEUED_EVENTS,
        fetch_missed_messages: bool = True,
        connect_after_fork: bool = True,
        allow_insecure_socket: bool = False,
        allowed_hosts: Sequence[str] = (),
        proxies: Optional[Mapping[str, str]] = None,
        ca_certs: Union[str, os.PathLike[str], None] = None,
        client_cert: Union[str, Tuple[str, str], None] = None,
        session_store: Optional[SessionStore] = None,
        status_store: Optional[StatusStore] = None,
        inbox_path: Union[str, os.PathLike[str], None] = None,
        outbox_path: Union[str, os.PathLike[str], None] = None,
        outbox_max_items: int = DEFAULT_OUTBOX_MAX_ITEMS,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self"}
        for name, value in _checked(given).items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_env(cls, prefix: str = "COMETCHAT_", **overrides: Any) -> AppSettings:
        """Make settings from the environment's variables; ``overrides`` go before them. An empty variable is not set.

        ``COMETCHAT_REGION``, ``_ADMIN_HOST``, ``_CLIENT_HOST``, ``_CA_CERTS``, ``_CONNECT_TIMEOUT``, ``_AUTH_TIMEOUT``,
        ``_PING_INTERVAL`` and ``_PONG_TIMEOUT`` (seconds) are those that the command line reads too. Programs alone
        read ``COMETCHAT_SUBSCRIPTION_TYPE``, ``_ROLES`` (names with commas between them), ``_INBOX_PATH``,
        ``_OUTBOX_PATH``, and ``_SESSION_PATH``: the file of a :class:`FileSessionStore`.

        ::

            client = Client(os.environ["COMETCHAT_APP_ID"], AppSettings.from_env())

        :param prefix: of the variables, in place of ``COMETCHAT_``.
        :param overrides: fields of AppSettings.
        :raises CometChatException: as AppSettings; the message names the variable.
        """
        fields = {**read_fields(os.environ, prefix), **overrides}
        try:
            return cls(**fields)
        except InvalidArgumentException as error:
            if error.name in overrides:
                raise
            wrong = name_variable(error, prefix)
        raise wrong

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, AppSettings) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> Tuple[Any, ...]:
        return tuple(_shape(getattr(self, field.name)) for field in fields(self))


def _shape(value: Any) -> Any:
    """What makes two values the same: tenacity's strategies, which do not compare, are what they are made of."""
    if isinstance(value, (tuple, list)):
        return tuple(_shape(item) for item in value)
    if type(value).__module__.partition(".")[0] == "tenacity":
        return type(value), tuple((name, _shape(item)) for name, item in sorted(vars(value).items()))
    return value


def _region(value: object, required: bool) -> Optional[str]:
    if value is None or (isinstance(value, str) and not value):
        if required:
            raise missing("region", '"us", "eu", "in" or another region\'s name (or both hosts overridden)')
        return None
    expected = '"us", "eu", "in" or another region\'s name (letters, digits, hyphens)'
    if not isinstance(value, str):
        raise invalid("region", expected, value)
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", value):
        raise invalid_value("region", expected, value)
    return value.lower()


def _host(name: str, value: object) -> Optional[str]:
    if value is None:
        return None
    expected = '"host[:port][/path]", or the same after "http://" or "https://"'
    if not isinstance(value, str):
        raise invalid(name, expected, value)
    try:
        parts = urlsplit(value if "://" in value else f"https://{value}")
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and not parts.netloc.endswith(":")  # as in htp:/host, a misspelt scheme
    except ValueError:
        usable = False
        parts = urlsplit("")
    if not usable or any(mark in value for mark in "?# ") or not value.isprintable():
        raise invalid_value(name, expected, value if "@" not in value else "an address with a password")
    if parts.username is not None or parts.password is not None:
        raise invalid_value(name, expected, "an address with a user name or password")
    return value


def _host_names(name: str, value: object) -> Tuple[str, ...]:
    expected = 'a list of host names without scheme, port and path, such as ["api.example.org"]'
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise invalid(name, expected, value)
    for host in value:
        if not isinstance(host, str):
            raise invalid(name, expected, host)
        if len(host) > 253 or not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", host):
            raise invalid_value(name, expected, host if "@" not in host else "a name with '@'")
    hosts = sorted(value) if isinstance(value, (set, frozenset)) else value
    return tuple(dict.fromkeys(host.lower() for host in hosts))


def _choice(name: str, value: object, choices: Sequence[str]) -> str:
    expected = "one of " + ", ".join(f'"{choice}"' for choice in choices)
    if not isinstance(value, str):
        raise invalid(name, expected, value)
    if value not in choices:
        raise invalid_value(name, expected, value)
    return str(value)


def _roles(value: object, subscription_type: object) -> Tuple[str, ...]:
    expected = 'a list of role names (only with subscription_type="ROLES")'
    if isinstance(value, (str, bytes)) or not isinstance(value, (list, tuple, set, frozenset)):
        raise invalid("roles", expected, value)
    roles = tuple(sorted(value, key=str)) if isinstance(value, (set, frozenset)) else tuple(value)
    if not all(isinstance(role, str) and role for role in roles):
        raise invalid_value("roles", expected, roles)
    if roles and subscription_type != "ROLES":
        raise invalid_value("roles", expected, roles)
    if not roles and subscription_type == "ROLES":
        raise missing("roles", expected)
    return tuple(map(plain_text, roles))


def _bool(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise invalid(name, "True or False", value)
    return value


def _seconds(name: str, value: object, *, zero: bool = False) -> float:
    least = "from 0 to" if zero else "above 0, up to"
    expected = f"a number of seconds {least} {LONGEST:.0f}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise invalid(name, expected, value)
    # Written so that NaN fails too, and a whole number too large for a float needs no conversion.
    if not 0 <= value <= LONGEST or (value == 0 and not zero):
        raise invalid_value(name, expected, value)
    return float(value)


def _whole(name: str, value: object, what: str, least: int) -> int:
    expected = f"{what}, a whole number from {least} to 2147483647"
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(name, expected, value)
    if not least <= value <= 2**31 - 1:
        raise invalid_value(name, expected, value)
    return value


def _strategy(name: str, value: Any, kind: str) -> Any:
    if value is not None and (not callable(value) or isinstance(value, type)):
        example = "wait_random_exponential(max=30)" if kind == "wait" else "stop_after_attempt(10)"
        raise invalid(name, f"a tenacity {kind} strategy, such as tenacity.{example}", value)
    return value


def _proxies(value: object) -> Optional[Mapping[str, str]]:
    if value is None:
        return None
    expected = 'a mapping in the format of requests, such as {"https": "http://proxy:3128"}'
    if not isinstance(value, Mapping):
        raise invalid("proxies", expected, value)
    if not all(isinstance(key, str) and isinstance(address, str) for key, address in value.items()):
        raise invalid("proxies", expected, next(iter(value.values()), None))
    return _FrozenMapping({plain_text(key): plain_text(address) for key, address in value.items()})


def _existing(name: str, value: object, expected: str) -> Optional[str]:
    path = checked_path(name, value, expected, folder=True)
    if path is not None and not os.path.exists(path):
        raise invalid_value(name, expected, os.fspath(value))  # type: ignore[call-overload]
    return path


def _ca_certs(value: object) -> Optional[str]:
    return _existing(
        "ca_certs", value, "the path of an existing CA bundle (a PEM file, or a folder prepared by c_rehash)"
    )


def _client_cert(value: object) -> Union[str, Tuple[str, str], None]:
    expected = "the path of a PEM file with a certificate and its key, or a pair of paths"
    if not isinstance(value, (tuple, list)):
        return _existing("client_cert", value, expected)
    if len(value) != 2 or None in value:
        raise invalid("client_cert", expected, value)
    certificate, key = (_existing("client_cert", part, expected) for part in value)
    return str(certificate), str(key)


def _store(name: str, value: Any, methods: Sequence[str], expected: str) -> Any:
    if value is not None:
        # A text has a join() too.
        if isinstance(value, (type, str, bytes)) or not all(
            callable(getattr(value, method, None)) for method in methods
        ):
            raise invalid(name, f"an object with {expected}", value)
    return value


def _check_inbox(path: Optional[str], outbox_path: Optional[str], fetches: bool) -> None:
    if path is not None and not fetches:
        raise invalid_value("inbox_path", "no inbox_path with fetch_missed_messages=False", path)
    if path is not None and outbox_path is not None and os.path.realpath(path) == os.path.realpath(outbox_path):
        raise invalid_value("inbox_path", "a different file from outbox_path", path)


def _seconds_or_zero(name: str, value: object) -> float:
    return _seconds(name, value, zero=True)


#: Field -> what checks it; ``roles`` and ``region`` depend on other fields.
_CHECKS: Dict[str, Callable[[str, Any], Any]] = {
    "admin_host": _host,
    "client_host": _host,
    "subscription_type": lambda name, value: _choice(name, value, SUBSCRIPTION_TYPES),
    "auto_establish_socket_connection": _bool,
    "connect_timeout": _seconds,
    "auth_timeout": _seconds,
    "ping_interval": _seconds,
    "pong_timeout": _seconds,
    "reconnect_wait": lambda name, value: _strategy(name, value, "wait"),
    "reconnect_stop": lambda name, value: _strategy(name, value, "stop"),
    "settings_refresh_interval": _seconds_or_zero,
    "max_message_size": lambda name, value: _whole(name, value, "bytes", 1024),
    "max_queued_events": lambda name, value: _whole(name, value, "a number of events", 100),
    "fetch_missed_messages": _bool,
    "connect_after_fork": _bool,
    "allow_insecure_socket": _bool,
    "allowed_hosts": _host_names,
    "proxies": lambda name, value: _proxies(value),
    "ca_certs": lambda name, value: _ca_certs(value),
    "client_cert": lambda name, value: _client_cert(value),
    "session_store": lambda name, value: _store(
        name, value, ("load", "save", "clear"), "load(), save(session) and clear()"
    ),
    "status_store": lambda name, value: _store(
        name, value, ("join",), "join(app_id, uid, member), such as a cometchat.contrib.redis.RedisStatusStore"
    ),
    "inbox_path": lambda name, value: checked_path(name, value),
    "outbox_path": lambda name, value: checked_path(name, value),
    "outbox_max_items": lambda name, value: _whole(name, value, "a number of items", 1),
}


def _checked(given: Mapping[str, Any]) -> Dict[str, Any]:
    given = {name: plain_text(value) for name, value in given.items()}
    values = {name: check(name, given[name]) for name, check in _CHECKS.items()}
    values["roles"] = _roles(given["roles"], given["subscription_type"])
    values["region"] = _region(given["region"], required=not (given["admin_host"] and given["client_host"]))
    _check_inbox(values["inbox_path"], values["outbox_path"], values["fetch_missed_messages"])
    return values
