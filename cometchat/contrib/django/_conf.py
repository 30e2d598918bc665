"""The setting ``COMETCHAT`` in Django's settings; see :mod:`cometchat.contrib.web`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Mapping, Optional, Tuple

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

from ..web._settings import NAME, Configuration, Option, Problem, complaint
from ..web._settings import examine as examine_setting
from ._database import renewed_connections

__all__ = ["NAME", "OPTIONS", "complaint", "examine", "given", "read"]

#: The keys for Django only.
OPTIONS: Mapping[str, Option] = {
    "CELERY": Option(False, lambda value: isinstance(value, bool), "Give True or False."),
}

_MISSING = f'Add {NAME} = {{"APP_ID": ..., "REGION": "us", "UID": ..., "AUTH_KEY": ...}} to the settings.'


def read() -> Configuration:
    """Return the site's configuration.

    :raises ImproperlyConfigured: the setting is wrong. The message names every problem.
    """
    configuration, problems = examine()
    if configuration is None:
        raise ImproperlyConfigured(complaint(problems))
    return configuration


def given() -> object:
    """Return the setting, or None if it is missing."""
    return getattr(django_settings, NAME, None)


def examine() -> Tuple[Optional[Configuration], List[Problem]]:
    """Return the site's configuration and no problems, or None and the problems."""
    configuration, problems = examine_setting(given(), OPTIONS, _MISSING)
    if configuration is not None:
        token, refresh = configuration.auth_token, configuration.refresh
        configuration = replace(configuration, auth_token=_with_database(token), refresh=_with_database(refresh))
    return configuration, problems


def _with_database(token: Any) -> Any:
    """Let a function for a token use the database at each call. Returns any other value as it is."""
    return renewed_connections()(token) if callable(token) else token
