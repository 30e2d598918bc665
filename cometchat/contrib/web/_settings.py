"""Checks the setting ``COMETCHAT`` of a web application, and reports all its problems at once.

It uses no framework. The setting is a mapping with upper-case names, as is usual for frameworks. A message quotes only
values that can't be secret.
"""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from cometchat import AppSettings, Client, CometChatException, InvalidArgumentException

from ..._deferred import deferred
from ._feed import check_options

#: The setting's name.
NAME = "COMETCHAT"

#: The values of ``START``: when a process connects.
STARTS = ("auto", "request", "never")

#: Key -> field of AppSettings.
FIELDS: Mapping[str, str] = {one.name.upper(): one.name for one in dataclasses.fields(AppSettings)}

#: Keys that are not fields of AppSettings.
OWN_KEYS = ("APP_ID", "UID", "AUTH_KEY", "AUTH_TOKEN", "REFRESH", "START", "MAX_STREAMS", "KEEP_ALIVE", "DETAILS")

_CREDENTIALS = "give UID and AUTH_KEY, or AUTH_TOKEN"


@dataclass(frozen=True)
class Problem:
    """A problem of the setting.

    :ivar number: of the check: ``"E003"``.
    :ivar code: the code of the SDK's error for the value, else ``INVALID_COMETCHAT``.
    """

    number: str
    message: str
    hint: str
    code: str = "INVALID_COMETCHAT"


@dataclass(frozen=True)
class Option:
    """A key for one framework.

    :ivar default: the value of a missing key.
    :ivar is_right: returns True for a valid value.
    :ivar hint: describes a valid value.
    """

    default: Any
    is_right: Callable[[Any], bool]
    hint: str


@dataclass(frozen=True)
class Configuration:
    """The setting, checked.

    :ivar auth_token: a token, or a callable that returns a new token at each call.
    :ivar refresh: a callable that returns a new token when ``auth_token`` is refused.
    :ivar start: ``"auto"``, ``"request"`` or ``"never"``.
    :ivar max_streams: maximum number of streams of events in this process; None: half of the server's threads.
    :ivar keep_alive: seconds between signs of life on a stream.
    :ivar details: whether visitors see error messages and the uid.
    :ivar options: the framework's keys, with their values.
    """

    app_id: str
    settings: AppSettings
    uid: Optional[str]
    auth_key: Optional[str] = field(repr=False)
    auth_token: Union[None, str, Callable[[], str]] = field(repr=False)
    refresh: Optional[Callable[[], str]] = field(repr=False)
    start: str
    max_streams: Optional[int]
    keep_alive: float
    details: bool
    options: Mapping[str, Any]

    def log_in(self, client: Client) -> None:
        """Log the client in. Makes HTTP calls, and waits for them.

        :raises CometChatException: as ``Client.login`` and ``login_with_auth_token``.
        """
        if callable(self.auth_token):
            client.login_with_auth_token(self.auth_token(), self.auth_token)
        elif self.auth_token is not None:
            client.login_with_auth_token(self.auth_token, self.refresh)
        else:
            client.login(self.uid or "", self.auth_key or "")

    def is_logged_in(self, client: Client) -> bool:
        """Return True if the right user is logged in."""
        user = client.get_logged_in_user()
        return user is not None and (self.uid is None or user.uid.lower() == self.uid.lower())

    def may_resume(self, client: Client) -> bool:
        """Return True if the session of SESSION_STORE serves: it is of the right user, and not of an earlier token."""
        user = client.get_logged_in_user()
        newest = self.renews_sessions() or (user is not None and user.auth_token == self.auth_token)
        return newest and self.is_logged_in(client)

    def renews_sessions(self) -> bool:
        """Return True if the credential can give a new session after the service refused the old one.

        A string in ``AUTH_TOKEN`` without ``REFRESH`` can't: it was refused too.
        """
        return bool(self.auth_key) or callable(self.auth_token) or self.refresh is not None


def examine(
    value: object, options: Mapping[str, Option], missing: str
) -> Tuple[Optional[Configuration], List[Problem]]:
    """Return the configuration, or None and all problems. Makes no HTTP call.

    :param value: the setting; None if it is missing.
    :param options: the framework's keys.
    :param missing: the hint for a missing setting.
    """
    if value is None:
        return None, [Problem("E001", f"The setting {NAME} is missing.", missing, "MISSING_PARAMETERS")]
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        odd = f"This is: {type(value).__name__}."
        if isinstance(value, Mapping):
            odd = f"One of the names is: {next(type(key).__name__ for key in value if not isinstance(key, str))}."
        hint = f'Give a mapping: {{"APP_ID": ...}}. {odd}'
        return None, [Problem("E001", f"The setting {NAME} is not a dictionary of names and values.", hint)]
    problems = _unknown_keys(value, options)
    settings, wrong_fields = _app_settings(value)
    problems += [*_app_id(value, settings), *_credential(value), *wrong_fields, *_other_problems(value, options)]
    if problems or settings is None:
        return None, problems
    configuration = Configuration(
        app_id=value["APP_ID"],
        settings=settings,
        uid=value.get("UID") or None,
        auth_key=value.get("AUTH_KEY") or None,
        auth_token=value.get("AUTH_TOKEN") or None,
        refresh=value.get("REFRESH"),
        start=value.get("START", "auto"),
        max_streams=value.get("MAX_STREAMS"),
        keep_alive=10.0 if value.get("KEEP_ALIVE") is None else float(value["KEEP_ALIVE"]),
        details=bool(value.get("DETAILS")),
        options={key: value.get(key, option.default) for key, option in options.items()},
    )
    return configuration, []


def complaint(problems: Sequence[Problem]) -> str:
    """Return all problems as one text."""
    return " ".join(f"{problem.message} {problem.hint}" for problem in problems)


def refusal(problems: Sequence[Problem]) -> CometChatException:
    """Return all problems as one exception, with the code of the first."""
    return InvalidArgumentException(problems[0].code, complaint(problems), name=NAME)


def token_error(error: Exception) -> CometChatException:
    """Return the error of a login. For an exception of the site's function it names only the class.

    That exception's message may contain a secret.
    """
    if isinstance(error, CometChatException):
        return error
    return CometChatException("ERR_TOKEN_REFRESH", f"AUTH_TOKEN raised {type(error).__name__}.")


def _unknown_keys(value: Mapping[str, Any], options: Mapping[str, Option]) -> List[Problem]:
    problems = []
    known = [*OWN_KEYS, *options, *FIELDS]
    for key in value:
        if key in known:
            continue
        close = difflib.get_close_matches(key.upper(), known, n=1, cutoff=0.6)
        hint = f"Did you mean {close[0]}?" if close else f"The keys are {', '.join(known)}."
        problems.append(Problem("E002", f"{NAME} has an unknown key, {key!r}.", hint))
    return problems


def _app_settings(value: Mapping[str, Any]) -> Tuple[Optional[AppSettings], List[Problem]]:
    """Create the AppSettings. They report one wrong field at a time, so leave it out and check the rest."""
    fields: Dict[str, Any] = {name: value[key] for key, name in FIELDS.items() if key in value}
    problems = []
    for _ in range(len(FIELDS)):
        try:
            made = AppSettings(**fields)
        except CometChatException as error:
            hint = f"The key is {error.name.upper()}."
            problems.append(Problem("E006", f"{NAME}: {error.message}", hint, error.code))
            if error.name not in fields:  # missing, so the later fields can't be checked
                break
            del fields[error.name]
            if error.name in ("region", "roles", "subscription_type"):  # fields that depend on it would be reported too
                break
        else:
            return (None, problems) if problems else (made, [])
    return None, problems


def _app_id(value: Mapping[str, Any], settings: Optional[AppSettings]) -> List[Problem]:
    """Check the app id, by creating a client: it may be a part of a host name."""
    plain = AppSettings(region="us")
    if settings is not None:
        plain = AppSettings(region=settings.region, admin_host=settings.admin_host, client_host=settings.client_host)
    try:
        Client(value.get("APP_ID") or "", plain)  # without close(), which would be logged: it holds nothing yet
    except CometChatException as error:
        hint = "The key is APP_ID. CometChat's dashboard shows the app id."
        return [Problem("E003", f"{NAME}: {error.message}", hint, error.code)]
    return []


def _credential(value: Mapping[str, Any]) -> List[Problem]:
    key, token, uid = (value.get(name) for name in ("AUTH_KEY", "AUTH_TOKEN", "UID"))
    if key and token:
        return [Problem("E004", f"{NAME} has both AUTH_KEY and AUTH_TOKEN.", "Take one of them out.")]
    if not key and not token:
        return [Problem("E004", f"{NAME} has no credential.", f"To log in, {_CREDENTIALS}.")]
    name, secret = ("AUTH_KEY", key) if key else ("AUTH_TOKEN", token)
    problems = []
    if not (name == "AUTH_TOKEN" and _is_function(secret)) and not _fits_header(secret):
        more = ", or a plain function that returns one" if name == "AUTH_TOKEN" else ""
        hint = f"Give a string in printable ASCII without surrounding spaces{more}."
        problems.append(Problem("E004", f"{NAME}: Invalid {name}.", hint))
    if value.get("REFRESH") is not None and not (_is_function(value["REFRESH"]) and token and not callable(token)):
        hint = "Give a plain function that returns a new token. It needs an AUTH_TOKEN that is a string."
        problems.append(Problem("E004", f"{NAME}: Invalid REFRESH.", hint))
    hint = "Give the uid of an existing user, as a string without surrounding spaces."
    if key and not (isinstance(uid, str) and uid.strip()):
        problems.append(Problem("E005", f"{NAME}: AUTH_KEY needs UID.", hint))
    elif uid is not None and not (isinstance(uid, str) and uid == uid.strip()):
        problems.append(Problem("E005", f"{NAME}: Invalid UID.", hint))
    return problems


def _is_function(value: object) -> bool:
    return callable(value) and deferred(value) is None


def _fits_header(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()


def _other_problems(value: Mapping[str, Any], options: Mapping[str, Option]) -> List[Problem]:
    problems = []
    if value.get("START", "auto") not in STARTS:
        hint = 'Give "auto" (when the process starts to serve), "request" (at its first request) or "never".'
        problems.append(Problem("E007", f"{NAME}: Invalid START.", hint))
    for key, option in options.items():
        if key in value and not option.is_right(value[key]):
            problems.append(Problem("E007", f"{NAME}: Invalid {key}.", option.hint))
    for key in ("MAX_STREAMS", "KEEP_ALIVE", "DETAILS"):
        if value.get(key) is None:
            continue
        arguments: Dict[str, Any] = {key.lower(): value[key]}
        try:
            check_options(**arguments)
        except CometChatException as error:
            right = error.message.partition(": ")[2]
            problems.append(Problem("E007", f"{NAME}: Invalid {key}.", right[:1].upper() + right[1:], error.code))
    return problems
