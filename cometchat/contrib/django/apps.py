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
    verbose_name = "CometChat"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, and start the connection where this process serves.

        Wrong settings are the checks' to tell where checks run; a server runs none, and must not start with them.

        :raises ImproperlyConfigured: in a process that serves: the setting ``COMETCHAT`` is wrong.
        """
        from . import checks, conf, serving

        checks.register()
        setting_changed.connect(_on_setting_changed, dispatch_uid="cometchat.django")
        configuration, problems = conf.examine(conf.given())
        if configuration is not None:
            serving.arrange(configuration)
        elif serving.by_a_server():
            raise ImproperlyConfigured(conf.complaint(problems))


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    """``override_settings`` of a test: what was made with the old settings is ended."""
    from . import conf, process

    if setting == conf.NAME:
        process.stop()
