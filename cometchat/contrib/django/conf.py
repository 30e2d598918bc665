"""The setting ``COMETCHAT``: what may be in it, and everything that is wrong with it, found at once.

No value is quoted in a message, but for those that can't be a secret.
"""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

from cometchat import AppSettings, Client, CometChatException

#: The setting's name.
NAME = "COMETCHAT"

#: What ``START`` may be: when a process makes its connection.
STARTS = ("auto", "request", "never")

#: Keys that are not fields of AppSettings.
OWN_KEYS = ("APP_ID", "UID", "AUTH_KEY", "AUTH_TOKEN", "REFRESH", "START", "CELERY", "MAX_STREAMS", "KEEP_ALIVE")

#: Key -> field of AppSettings.
FIELDS: Mapping[str, str] = {one.name.upper(): one.name for one in dataclasses.fields(AppSettings)}

_CREDENTIALS = "give UID and AUTH_KEY, or AUTH_TOKEN"


@dataclass(frozen=True)
class Problem:
    """Something wrong with the setting.

    :ivar number: of the system check: ``"E003"``.
    """

    number: str
    message: str
    hint: str


@dataclass(frozen=True)
class Configuration:
    """The setting, checked.

    :ivar auth_token: a token, or what returns a new one at each call.
    :ivar start: one of :data:`STARTS`.
    :ivar celery: Celery's workers have a connection too.
    :ivar refresh: what returns a new token once ``auth_token`` is refused.
    :ivar max_streams: how many streams of events may each hold a thread of this process; None: what suits the server.
    :ivar keep_alive: seconds between signs of life on a stream.
    """

    app_id: str
    settings: AppSettings
    uid: Optional[str]
    auth_key: Optional[str] = field(repr=False)
    auth_token: Union[None, str, Callable[[], str]] = field(repr=False)
    start: str
    celery: bool
    max_streams: Optional[int]
    keep_alive: float
    refresh: Optional[Callable[[], str]]

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


def read() -> Configuration:
    """The site's configuration.

    :raises ImproperlyConfigured: it is wrong; the message has all that is.
    """
    configuration, problems = examine(given())
    if configuration is None:
        raise ImproperlyConfigured(complaint(problems))
    return configuration


def complaint(problems: Sequence[Problem]) -> str:
    """Everything that is wrong, in one text."""
    return " ".join(f"{problem.message} {problem.hint}" for problem in problems)


def given() -> object:
    """What the settings file has; None where it has nothing."""
    return getattr(django_settings, NAME, None)


def examine(value: object) -> Tuple[Optional[Configuration], List[Problem]]:
    """The configuration, or None and what is wrong with it."""
    if value is None:
        hint = f'Add {NAME} = {{"APP_ID": ..., "REGION": "us", "UID": ..., "AUTH_KEY": ...}} to the settings.'
        return None, [Problem("E001", f"The setting {NAME} is missing.", hint)]
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        hint = f'Give a dictionary: {{"APP_ID": ...}}. This is: {type(value).__name__}.'
        return None, [Problem("E001", f"The setting {NAME} is not a dictionary of names and values.", hint)]
    problems = _unknown_keys(value)
    settings, wrong_fields = _app_settings(value)
    problems += [*_app_id(value, settings), *_credential(value), *wrong_fields, *_own(value)]
    if problems or settings is None:
        return None, problems
    configuration = Configuration(
        app_id=value["APP_ID"],
        settings=settings,
        uid=value.get("UID") or None,
        auth_key=value.get("AUTH_KEY") or None,
        auth_token=value.get("AUTH_TOKEN") or None,
        start=value.get("START", "auto"),
        celery=value.get("CELERY", False),
        max_streams=value.get("MAX_STREAMS"),
        keep_alive=float(value.get("KEEP_ALIVE", 10)),
        refresh=value.get("REFRESH"),
    )
    return configuration, []


def _unknown_keys(value: Mapping[str, Any]) -> List[Problem]:
    problems = []
    known = [*OWN_KEYS, *FIELDS]
    for key in value:
        if key in known:
            continue
        close = difflib.get_close_matches(key.upper(), known, n=1, cutoff=0.6)
        hint = f"Did you mean {close[0]}?" if close else f"The keys are {', '.join(known)}."
        problems.append(Problem("E002", f"{NAME} has an unknown key, {key!r}.", hint))
    return problems


def _app_settings(value: Mapping[str, Any]) -> Tuple[Optional[AppSettings], List[Problem]]:
    """AppSettings names one wrong field at a time: it is left out, and the rest looked at."""
    fields: Dict[str, Any] = {name: value[key] for key, name in FIELDS.items() if key in value}
    problems = []
    for _ in range(len(FIELDS)):
        try:
            made = AppSettings(**fields)
        except CometChatException as error:
            problems.append(Problem("E006", f"{NAME}: {error.message}", f"The key is {error.name.upper()}."))
            if error.name not in fields:  # missing: the fields after it can't be reached
                break
            del fields[error.name]
            if error.name in ("region", "roles", "subscription_type"):  # what depends on it would be called wrong
                break
        else:
            return (None, problems) if problems else (made, [])
    return None, problems


def _app_id(value: Mapping[str, Any], settings: Optional[AppSettings]) -> List[Problem]:
    """The client checks it: it may be part of a host's name."""
    plain = AppSettings(region="us")
    if settings is not None:
        plain = AppSettings(region=settings.region, admin_host=settings.admin_host, client_host=settings.client_host)
    try:
        Client(value.get("APP_ID") or "", plain).close()
    except CometChatException as error:
        hint = "The key is APP_ID; the dashboard of CometChat shows the app's id."
        return [Problem("E003", f"{NAME}: {error.message}", hint)]
    return []


def _credential(value: Mapping[str, Any]) -> List[Problem]:
    key, token, uid = (value.get(name) for name in ("AUTH_KEY", "AUTH_TOKEN", "UID"))
    if key and token:
        return [Problem("E004", f"{NAME} has both AUTH_KEY and AUTH_TOKEN.", "Take one of them out.")]
    if not key and not token:
        return [Problem("E004", f"{NAME} has no credential.", f"To log in, {_CREDENTIALS}.")]
    name, secret = ("AUTH_KEY", key) if key else ("AUTH_TOKEN", token)
    problems = []
    if not (callable(secret) and name == "AUTH_TOKEN") and not _fits_header(secret):
        more = ", or a callable that returns one" if name == "AUTH_TOKEN" else ""
        hint = f"Give a text in printable ASCII without spaces around it{more}."
        problems.append(Problem("E004", f"{NAME}: {name} is wrong.", hint))
    if value.get("REFRESH") is not None and not (callable(value["REFRESH"]) and token and not callable(token)):
        hint = "Give a callable that returns a new token, beside an AUTH_TOKEN that is a text."
        problems.append(Problem("E004", f"{NAME}: REFRESH is wrong.", hint))
    if key and not (isinstance(uid, str) and uid.strip()):
        problems.append(Problem("E005", f"{NAME}: AUTH_KEY needs UID.", "Give the uid of the user to log in, a text."))
    elif uid is not None and not isinstance(uid, str):
        problems.append(Problem("E005", f"{NAME}: UID is wrong.", "Give a text, or leave it out."))
    return problems


def _fits_header(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()


def _own(value: Mapping[str, Any]) -> List[Problem]:
    problems = []
    if value.get("START", "auto") not in STARTS:
        hint = 'Give "auto" (as the process begins to serve), "request" (with its first request) or "never".'
        problems.append(Problem("E007", f"{NAME}: START is wrong.", hint))
    if not isinstance(value.get("CELERY", False), bool):
        problems.append(Problem("E007", f"{NAME}: CELERY is wrong.", "Give True or False."))
    streams, seconds = value.get("MAX_STREAMS"), value.get("KEEP_ALIVE", 10)
    if streams is not None and (isinstance(streams, bool) or not isinstance(streams, int) or streams < 0):
        problems.append(Problem("E007", f"{NAME}: MAX_STREAMS is wrong.", "Give a whole number from 0."))
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= 3600:
        problems.append(Problem("E007", f"{NAME}: KEEP_ALIVE is wrong.", "Give seconds, above 0 and at most 3600."))
    return problems
