"""A Flask extension: one client per serving process, views, a status light for templates, and commands.

::

    app.config["COMETCHAT"] = {"APP_ID": "...", "REGION": "us", "UID": "...", "AUTH_KEY": "..."}
    cometchat = CometChatFlask(app)
"""

from __future__ import annotations

from .._extras import naming_the_extra

with naming_the_extra("flask"):
    from ._extension import CometChatFlask
    from ._signals import status_changed
    from ._views import cometchat_status

__all__ = ["CometChatFlask", "cometchat_status", "status_changed"]
