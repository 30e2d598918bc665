"""The old, documented name of :mod:`cometchat.contrib.web._process`."""

from __future__ import annotations

from .web import Role, act, is_reloaders_child, loading_modules, server_is_ending, server_role

__all__ = ["Role", "act", "is_reloaders_child", "loading_modules", "server_is_ending", "server_role"]
