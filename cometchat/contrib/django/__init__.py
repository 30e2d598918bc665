"""A Django app: one connection for each process that serves, as Django knows settings, signals, checks and views.

::

    INSTALLED_APPS = [..., "cometchat.contrib.django"]
    COMETCHAT = {"APP_ID": "...", "REGION": "us", "UID": "...", "AUTH_KEY": os.environ["COMETCHAT_AUTH_KEY"]}

The functions below act on the one client of this process. :mod:`cometchat.contrib.django.signals` has the signals,
``cometchat.contrib.django.urls`` the views.
"""

from __future__ import annotations

from .._extras import naming_the_extra

with naming_the_extra("django"):
    from ._process import get_client, get_feed, login_error, start, started, stop

__all__ = ["get_client", "get_feed", "login_error", "start", "started", "stop"]
