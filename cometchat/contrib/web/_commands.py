"""Runs the SDK's command line with the account of a web application's settings, in the same process.

The credential is passed in the environment, not in the arguments, which ``ps`` would show.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Dict, Iterator, Mapping, Optional, Sequence

from cometchat import CometChatException
from cometchat._environment import SERVICE
from cometchat.cli import main

from ._settings import Configuration, token_error


def run(configuration: Configuration, arguments: Sequence[str]) -> int:
    """Run ``cometchat`` with these arguments. Returns its exit code: 1, with one line, if AUTH_TOKEN fails."""
    try:
        variables = _variables(configuration)
    except CometChatException as error:
        with contextlib.suppress(AttributeError, OSError):  # closed, or its disk is full
            sys.stderr.write(f"cometchat {arguments[0]}: {error}\n")
        return 1
    with _environment(variables):
        return main(list(arguments))


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Replace the account and the proxies of the environment by those of the settings."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("COMETCHAT_")]:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _token(configuration: Configuration) -> Optional[str]:
    if not callable(configuration.auth_token):
        return configuration.auth_token
    try:
        token: object = configuration.auth_token()
    except Exception as error:
        raise token_error(error) from error
    if not isinstance(token, str) or not token:
        given = "nothing" if not token else type(token).__name__
        raise CometChatException("ERR_TOKEN_REFRESH", f"AUTH_TOKEN has to return an auth token, a str, not {given}.")
    return token


def _variables(configuration: Configuration) -> Dict[str, str]:
    settings = configuration.settings
    values = {
        "COMETCHAT_APP_ID": configuration.app_id,
        "COMETCHAT_UID": configuration.uid,
        "COMETCHAT_AUTH_KEY": configuration.auth_key,
        "COMETCHAT_AUTH_TOKEN": _token(configuration),
    }
    values.update((f"COMETCHAT_{name}", getattr(settings, variable.field)) for name, variable in SERVICE.items())
    proxies = {f"{scheme}_proxy": address for scheme, address in (settings.proxies or {}).items()}  # empty: no proxy
    return {**{name: str(value) for name, value in values.items() if value}, **proxies}
