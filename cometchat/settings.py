"""AppSettings: the settings of a client, checked at creation."""

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

from ._deferred import deferred, misfit
from ._environment import name_variable, read_fields
from ._fields import plain_text
from ._lazy import LazyModule
from ._paths import checked_path
from ._proxy_address import FORM, SCHEMES, BadProxy, read_proxy
from .exceptions import InvalidArgumentException, invalid, invalid_value, missing, unusable

if TYPE_CHECKING:
    from . import status_store as stores
else:
    stores = LazyModule(f"{__package__}.status_store")

SUBSCRIPTION_TYPES = ("ALL_USERS", "FRIENDS", "ROLES", "NONE")

#: Default maximum size of a WebSocket message, in bytes.
DEFAULT_MAX_MESSAGE_SIZE = 16 * 1024 * 1024

#: Default maximum number of events that wait for slow listeners.
DEFAULT_MAX_QUEUED_EVENTS = 10_000

#: Default maximum number of items in the outbox.
DEFAULT_OUTBOX_MAX_ITEMS = 100_000

#: Maximum of every setting that is a time, in seconds: one day.
LONGEST = 86_400.0


class SessionStore(Protocol):
    """Keeps the login session. ``FileSessionStore`` and ``MemorySessionStore`` implement it.

    A client calls it on the thread that logs in or out, and on the connection thread when it replaces a token. It
    makes one call at a time. If a method raises, the client logs a warning and stays logged in.
    """

    def load(self) -> Optional[Mapping[str, Any]]:
        """Return the stored session (JSON-serializable), or None."""

    def save(self, session: Mapping[str, Any], /) -> None:
        """Replace the stored session. It contains the auth token: store it where only the user can read it."""

    def clear(self) -> None:
        """Remove the stored session."""


#: Strategies that tenacity calls: how long to wait (in seconds), and whether to stop. Tenacity's own strategies fit.
WaitStrategy = Callable[[Any], float]
StopStrategy = Callable[[Any], bool]


class _FrozenMapping(Mapping[str, str]):
    """An immutable mapping that, unlike ``MappingProxyType``, can be hashed, copied and pickled."""

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
    """The settings of a client. Keyword-only, immutable, checked at creation. Maximum of each time: 86400 s, a day.

    :param region: ``"us"``, ``"eu"``, ``"in"`` or another region's name. Required unless both hosts are overridden.
    :param subscription_type: the users whose presence you get: ``"ALL_USERS"``, ``"FRIENDS"``, ``"ROLES"`` or
        ``"NONE"`` (the vendor's default).
    :param roles: names of roles; only with ``subscription_type="ROLES"``.
    :param auto_establish_socket_connection: True connects at login. False: you call ``connect()``.
    :param admin_host: replaces the address of the admin API. ``host[:port][/path]`` means https; an explicit
        ``http://`` or ``https://`` is used as it is.
    :param client_host: the same for the client API.
    :param connect_timeout: seconds (> 0) for TCP, TLS and upgrade, and for each HTTP answer.
    :param auth_timeout: seconds (> 0) for the answer to ``auth``.
    :param ping_interval: seconds (> 0) between heartbeats.
    :param pong_timeout: seconds (> 0) to wait for the answer to a heartbeat.
    :param reconnect_wait: a tenacity ``wait`` strategy. Default: the first retry after a random 0 to 1 s, then
        exponential with full jitter, at most 30 s.
    :param reconnect_stop: a tenacity ``stop`` strategy. Default: never.
    :param settings_refresh_interval: seconds (>= 0) between requests for the service's ``MODE`` while connected; 0
        makes no such requests.
    :param max_message_size: maximum size of a WebSocket message, in bytes (>= 1024). A larger message ends the
        connection with close code 1009 and ``ERR_PROTOCOL``.
    :param max_queued_events: maximum number (>= 100) of events that wait for slow listeners. If there are more, the
        oldest typing indicators, presence, receipts, reactions and transient messages are dropped. Messages are fetched
        again when there is room. Changes of the connection's status are never dropped.
    :param fetch_missed_messages: True fetches, after each reconnect, the messages that the client missed, and delivers
        them before the live ones.
    :param connect_after_fork: True connects in the child of a fork if the parent's client was to be connected. False:
        the child calls ``connect()``.
    :param allow_insecure_socket: False refuses a WebSocket without TLS (``ERR_INSECURE_SOCKET``) if the client API uses
        TLS, so that an attacker on the network can't remove the encryption. True accepts the service's settings.
    :param allowed_hosts: names of your own hosts that the service's settings may name as its API (on-premise). The
        client calls them after the login. The service's own domains are always allowed. For any other host the client
        logs a warning and does not use it.
    :param proxies: in the format of ``requests``: ``{"https": "http://user:password@proxy:3128"}``; None instead of an
        address means that there is no proxy. Default: from the environment. The WebSocket uses the same proxies
        (``https`` for wss, ``http`` for ws), with the scheme ``http``, ``socks4``, ``socks4a``, ``socks5`` or
        ``socks5h``.
    :param ca_certs: path of a CA bundle file or folder. Default: from the environment (``REQUESTS_CA_BUNDLE``,
        ``CURL_CA_BUNDLE``), else certifi's bundle.
    :param client_cert: the client's certificate, for hosts that require mutual TLS: the path of a PEM file with the
        certificate and its key, or a pair of paths.
    :param session_store: keeps the login session. Default: in memory. ``FileSessionStore(path)`` keeps it through a
        restart.
    :param status_store: shares one connection among processes: ``cometchat.contrib.redis.RedisStatusStore``. Default:
        each client has its own connection.
    :param inbox_path: file of the durable inbox, created if missing. It records which messages the callbacks have
        handled. After a restart or a ``kill -9`` the client delivers every message that they have not handled, and
        repeats only the message that was in progress. Default: no file; a new process starts with the newest message.
        Needs ``fetch_missed_messages``.
    :param outbox_path: file of ``Client.outbox``, created if missing. Several processes may share it. Default: in
        memory.
    :param outbox_max_items: maximum number (1 to 2147483647) of a user's items in the outbox.
    :raises CometChatException: ``MISSING_PARAMETERS`` or ``INVALID_<FIELD>``. The message names the field and its
        allowed values.
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
    #: Not in the repr: a proxy's address may contain a password.
    proxies: Optional[Mapping[str, str]] = field(repr=False)
    ca_certs: Optional[str]
    client_cert: Union[str, Tuple[str, str], None]
    session_store: Optional[SessionStore]
    status_store: Optional[stores.StatusStore]
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
        proxies: Optional[Mapping[str, Optional[str]]] = None,
        ca_certs: Union[str, os.PathLike[str], None] = None,
        client_cert: Union[str, Tuple[str, str], None] = None,
        session_store: Optional[SessionStore] = None,
        status_store: Optional[stores.StatusStore] = None,
        inbox_path: Union[str, os.PathLike[str], None] = None,
        outbox_path: Union[str, os.PathLike[str], None] = None,
        outbox_max_items: int = DEFAULT_OUTBOX_MAX_ITEMS,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self"}
        for name, value in _checked(given).items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_env(cls, prefix: str = "COMETCHAT_", **overrides: Any) -> AppSettings:
        """Create settings from environment variables. ``overrides`` take precedence. An empty variable is not set.

        The command line reads these too: ``COMETCHAT_REGION``, ``_ADMIN_HOST``, ``_CLIENT_HOST``, ``_CA_CERTS``,
        ``_CONNECT_TIMEOUT``, ``_AUTH_TIMEOUT``, ``_PING_INTERVAL`` and ``_PONG_TIMEOUT`` (in seconds). Only this method
        reads ``COMETCHAT_SUBSCRIPTION_TYPE``, ``_ROLES`` (names with commas between them), ``_INBOX_PATH``,
        ``_OUTBOX_PATH`` and ``_SESSION_PATH`` (the file of a :class:`FileSessionStore`).

        ::

            client = Client(os.environ["COMETCHAT_APP_ID"], AppSettings.from_env())

        :param prefix: of the variables, instead of ``COMETCHAT_``.
        :param overrides: fields of AppSettings.
        :raises CometChatException: as AppSettings. The message names the variable. ``INVALID_PREFIX``.
        """
        if not isinstance(prefix, str):
            raise invalid("prefix", 'a string such as "COMETCHAT_"', prefix)
        fields = {**read_fields(os.environ, prefix, overridden=overrides), **overrides}
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
    """Return what to compare for a value. Tenacity's strategies do not compare, so their attributes are compared."""
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
    if not usable or any(mark in value for mark in "?# \\") or not value.isprintable():
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
    # This form refuses NaN too, and does not convert a whole number that is too large for a float.
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
    if value is None:
        return None
    example = "wait_random_exponential(max=30)" if kind == "wait" else "stop_after_attempt(10)"
    if not callable(value) or isinstance(value, type):
        raise invalid(name, f"a tenacity {kind} strategy, such as tenacity.{example}", value)
    odd_function = deferred(value)  # its result is always true, and not a number of seconds
    if odd_function is not None:
        raise unusable(name, f"a tenacity {kind} strategy that is not {odd_function}, such as tenacity.{example}")
    return value


def _proxies(name: str, value: object) -> Optional[Mapping[str, str]]:
    if value is None:
        return None
    expected = 'a mapping in the format of requests, such as {"https": "http://proxy:3128"}'
    if not isinstance(value, Mapping):
        raise invalid(name, expected, value)
    addresses = {key: "" if address is None else address for key, address in value.items()}
    for text in (*addresses, *addresses.values()):
        if not isinstance(text, str):
            raise invalid(name, expected, text)
    for key, address in addresses.items():
        if address and key.partition("://")[0] in ("http", "https", "all"):  # requests ignores other keys too
            _check_proxy(name, address)
    return _FrozenMapping({plain_text(key): plain_text(address) for key, address in addresses.items()})


def _check_proxy(name: str, address: str) -> None:
    try:
        read_proxy(address)
    except BadProxy:
        # Not "from" it: its context may quote a part of the password.
        raise unusable(name, f"addresses of the form {FORM}, whose scheme is {SCHEMES}") from None


def _existing(name: str, value: object, expected: str) -> Optional[str]:
    path = checked_path(name, value, expected, folder=True)
    if path is not None and not os.path.exists(path):
        raise invalid_value(name, expected, os.fspath(value))  # type: ignore[call-overload]
    return path


def _ca_certs(name: str, value: object) -> Optional[str]:
    return _existing(name, value, "the path of an existing CA bundle (a PEM file, or a folder prepared by c_rehash)")


def _client_cert(name: str, value: object) -> Union[str, Tuple[str, str], None]:
    expected = "the path of a PEM file with a certificate and its key, or a pair of paths"
    if not isinstance(value, (tuple, list)):
        return _existing(name, value, expected)
    if len(value) != 2 or None in value:
        raise invalid(name, expected, value)
    certificate, key = (_existing(name, part, expected) for part in value)
    return str(certificate), str(key)


def _store(name: str, value: Any, methods: Mapping[str, int], expected: str) -> Any:
    """Check a store. ``methods``: name -> number of arguments that the client passes."""
    if value is not None and not all(_takes(getattr(value, method, None), count) for method, count in methods.items()):
        raise invalid(name, f"an object with {expected}", value)
    return value


def _takes(method: Any, count: int) -> bool:
    """Return True for a plain method with so many arguments. A string and a thread have a join() too, with one."""
    return deferred(method) is None and misfit(method, *range(count)) is None


def _check_inbox(path: Optional[str], outbox_path: Optional[str], fetches: bool) -> None:
    if path is not None and not fetches:
        raise invalid_value("inbox_path", "no inbox_path with fetch_missed_messages=False", path)
    if path is not None and outbox_path is not None and os.path.realpath(path) == os.path.realpath(outbox_path):
        raise invalid_value("inbox_path", "a different file from outbox_path", path)


#: Field -> its check. ``roles`` and ``region`` depend on other fields, and are not here.
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
    "settings_refresh_interval": lambda name, value: _seconds(name, value, zero=True),
    "max_message_size": lambda name, value: _whole(name, value, "bytes", 1024),
    "max_queued_events": lambda name, value: _whole(name, value, "a number of events", 100),
    "fetch_missed_messages": _bool,
    "connect_after_fork": _bool,
    "allow_insecure_socket": _bool,
    "allowed_hosts": _host_names,
    "proxies": _proxies,
    "ca_certs": _ca_certs,
    "client_cert": _client_cert,
    "session_store": lambda name, value: _store(
        name,
        value,
        {"load": 0, "save": 1, "clear": 0},
        "load(), save(session) and clear(), none of them async, such as FileSessionStore(path)",
    ),
    "status_store": lambda name, value: _store(
        name,
        value,
        {"join": 3},
        "join(app_id, uid, member), not async, such as a cometchat.contrib.redis.RedisStatusStore",
    ),
    "inbox_path": checked_path,
    "outbox_path": checked_path,
    "outbox_max_items": lambda name, value: _whole(name, value, "a number of items", 1),
}


def _checked(given: Mapping[str, Any]) -> Dict[str, Any]:
    given = {name: plain_text(value) for name, value in given.items()}
    values = {name: check(name, given[name]) for name, check in _CHECKS.items()}
    values["roles"] = _roles(given["roles"], given["subscription_type"])
    values["region"] = _region(given["region"], required=not (given["admin_host"] and given["client_host"]))
    _check_inbox(values["inbox_path"], values["outbox_path"], values["fetch_missed_messages"])
    return values
