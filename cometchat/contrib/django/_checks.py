"""System checks of the setting ``COMETCHAT``, for ``manage.py check`` and every other command that runs checks."""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any, List, Optional, Sequence

from django.apps import AppConfig
from django.core import checks

from . import _conf


def register() -> None:
    """Register the checks. No-op when called twice."""
    checks.register(check_setting, "cometchat")
    checks.register(check_secrets, checks.Tags.security, deploy=True)


def check_setting(app_configs: Optional[Sequence[AppConfig]], **kwargs: Any) -> List[checks.CheckMessage]:
    """Return an error, ``cometchat.E001`` to ``E007``, for each problem of the setting."""
    _, problems = _conf.examine()
    return [checks.Error(one.message, hint=one.hint, id=f"cometchat.{one.number}") for one in problems]


def check_secrets(app_configs: Optional[Sequence[AppConfig]], **kwargs: Any) -> List[checks.CheckMessage]:
    """Return ``cometchat.W001``, with ``--deploy``, if a credential is in the settings file, under version control."""
    value = _conf.given()
    if not isinstance(value, dict):
        return []
    found: List[checks.CheckMessage] = []
    for module in list(sys.modules.values()):
        names: Any = getattr(module, "__dict__", {})
        if names.get(_conf.NAME) is not value:
            continue
        source = _source(module)
        for key in ("AUTH_KEY", "AUTH_TOKEN"):
            secret = value.get(key)
            if isinstance(secret, str) and secret and repr(secret)[1:-1] in source:
                message = f"{_conf.NAME}: {key} is in the source of {module.__name__}."
                hint = f'Read it from the environment: os.environ["COMETCHAT_{key}"].'
                found.append(checks.Warning(message, hint=hint, id="cometchat.W001"))
    return found


def _source(module: ModuleType) -> str:
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):  # it has no file
        return ""
