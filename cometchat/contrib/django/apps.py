"""The app's registration with Django."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


class CometChatConfig(AppConfig):
    """``INSTALLED_APPS = [..., "cometchat.contrib.django"]``."""

    name = "cometchat.contrib.django"
    label = "cometchat"
    verbose_name: str = "CometChat"
    default_auto_field: str = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, and start the connection if this process serves.

        Commands that run checks report wrong settings. A server runs no checks, and must not start with wrong settings.

        :raises ImproperlyConfigured: in a serving process: the setting ``COMETCHAT`` is wrong.
        """
        from . import _checks, _conf, _serving

        _checks.register()
        setting_changed.connect(_on_setting_changed, dispatch_uid="cometchat.django")
        configuration, problems = _conf.examine()
        if configuration is not None:
            _serving.arrange(configuration)
        elif _serving.by_a_server():
            raise ImproperlyConfigured(_conf.complaint(problems))


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    """After ``override_settings`` in a test: end the client and the feed with the old settings."""
    from . import _conf, _process

    if setting == _conf.NAME:
        _process.stop()
