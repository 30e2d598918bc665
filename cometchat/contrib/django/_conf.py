"""The setting ``COMETCHAT`` in Django's settings; see :mod:`cometchat.contrib.web`."""

from __future__ import annotations

from typing import List, Mapping, Optional, Tuple

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

from ..web._settings import NAME, Configuration, Option, Problem, complaint
from ..web._settings import examine as examine_setting

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
    return examine_setting(given(), OPTIONS, _MISSING)
