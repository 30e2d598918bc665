"""The SDK's command line with the account of a web application's settings, in the same process.

A credential stands in the environment for that time, never among the arguments, where ``ps`` would show it.
"""

from __future__ import annotations

import contextlib
import os
from typing import Dict, Iterator, Sequence

from cometchat.cli import main

from .settings import Configuration


def run(configuration: Configuration, arguments: Sequence[str]) -> int:
    """Run ``cometchat`` with these arguments; returns its exit code."""
    with _environment(configuration):
        return main(list(arguments))


@contextlib.contextmanager
def _environment(configuration: Configuration) -> Iterator[None]:
    """No account of the environment's beside the settings' own; and the settings' proxies."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("COMETCHAT_")]:
        del os.environ[name]
    os.environ.update(_variables(configuration))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _variables(configuration: Configuration) -> Dict[str, str]:
    settings, token = configuration.settings, configuration.auth_token
    values = {
        "COMETCHAT_APP_ID": configuration.app_id,
        "COMETCHAT_REGION": settings.region,
        "COMETCHAT_UID": configuration.uid,
        "COMETCHAT_AUTH_KEY": configuration.auth_key,
        "COMETCHAT_AUTH_TOKEN": token() if callable(token) else token,
        "COMETCHAT_ADMIN_HOST": settings.admin_host,
        "COMETCHAT_CLIENT_HOST": settings.client_host,
        "REQUESTS_CA_BUNDLE": settings.ca_certs,
    }
    values.update((f"{scheme}_proxy", address) for scheme, address in (settings.proxies or {}).items())
    return {name: value for name, value in values.items() if value}
