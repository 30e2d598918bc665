"""A Django app: one connection per serving process, with Django's settings, signals, checks and views.

::

    INSTALLED_APPS = [..., "cometchat.contrib.django"]
    COMETCHAT = {"APP_ID": "...", "REGION": "us", "UID": "...", "AUTH_KEY": os.environ["COMETCHAT_AUTH_KEY"]}

The functions below use the client of this process. :mod:`cometchat.contrib.django.signals` has the signals,
``cometchat.contrib.django.urls`` the views.
"""

from __future__ import annotations

from .._extras import naming_the_extra

with naming_the_extra("django"):
    from ._process import get_client, get_feed, login_error, start, started, stop

__all__ = ["get_client", "get_feed", "login_error", "start", "started", "stop"]
