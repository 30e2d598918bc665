"""The environment variables for settings, and how each is read. Programs and the command line share them."""

from __future__ import annotations

from typing import Any, Callable, Container, Dict, Mapping, NamedTuple

from .exceptions import InvalidArgumentException, invalid_value
from .session_store import FileSessionStore


class Variable(NamedTuple):
    """An environment variable.

    :ivar field: of AppSettings.
    :ivar read: converts the text to the field's value.
    """

    field: str
    read: Callable[[str], Any]


def _names(text: str) -> Any:
    return [name.strip() for name in text.split(",") if name.strip()]


#: The variables that commands read too: the service's addresses and the timeouts. By name, without the prefix.
SERVICE: Dict[str, Variable] = {
    "REGION": Variable("region", str),
    "ADMIN_HOST": Variable("admin_host", str),
    "CLIENT_HOST": Variable("client_host", str),
    "CA_CERTS": Variable("ca_certs", str),
    "CONNECT_TIMEOUT": Variable("connect_timeout", float),
    "AUTH_TIMEOUT": Variable("auth_timeout", float),
    "PING_INTERVAL": Variable("ping_interval", float),
    "PONG_TIMEOUT": Variable("pong_timeout", float),
}

#: All variables. Commands must not read the others: they would use the files of a running program.
VARIABLES: Dict[str, Variable] = {
    **SERVICE,
    "SUBSCRIPTION_TYPE": Variable("subscription_type", str),
    "ROLES": Variable("roles", _names),
    "SESSION_PATH": Variable("session_store", FileSessionStore),
    "INBOX_PATH": Variable("inbox_path", str),
    "OUTBOX_PATH": Variable("outbox_path", str),
}

_NAMES = {variable.field: name for name, variable in VARIABLES.items()}


def read_fields(
    environ: Mapping[str, str],
    prefix: str,
    variables: Mapping[str, Variable] = VARIABLES,
    *,
    overridden: Container[str] = (),
) -> Dict[str, Any]:
    """Return the fields of AppSettings whose variables are set. An empty variable counts as not set.

    :param overridden: fields whose variables are not read.
    :raises InvalidArgumentException: a variable can't be read; the message names it.
    """
    fields = {}
    for name, variable in variables.items():
        text = environ.get(prefix + name)
        if text and variable.field not in overridden:
            fields[variable.field] = _read(variable, text, prefix)
    return fields


def name_variable(error: InvalidArgumentException, prefix: str) -> InvalidArgumentException:
    """Return the error of a field with the name of its variable, if it has one."""
    name = _NAMES.get(error.name)
    if name is None:
        return error
    return InvalidArgumentException(
        error.code, f"{error.message} The variable is {prefix}{name}.", name=error.name
    )


def _read(variable: Variable, text: str, prefix: str) -> Any:
    try:
        return variable.read(text)
    except InvalidArgumentException as error:  # of a session file's path
        named = InvalidArgumentException(error.code, error.message, name=variable.field)
    except ValueError:
        named = invalid_value(variable.field, "a number of seconds", text)
    raise name_variable(named, prefix)
