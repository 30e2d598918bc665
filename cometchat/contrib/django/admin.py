"""The admin's page about the connection of the answering process. For all staff members. It shows no secrets."""

from __future__ import annotations

import os
import socket
from dataclasses import fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.dateparse import parse_datetime

from cometchat import Client, CometChatException, Stats

from . import _process
from .models import Connection

#: Figure -> its label and unit.
_FIGURES: Mapping[str, Tuple[str, str]] = {
    "attempts": ("Attempts to connect", ""),
    "connects": ("Connections made", ""),
    "frames_received": ("Frames received", ""),
    "bytes_received": ("Received", "bytes"),
    "frames_ignored": ("Unused frames", ""),
    "messages_fetched": ("Missed messages fetched", ""),
    "messages_truncated": ("Messages nested too deeply", ""),
    "events_queued": ("Events that wait for receivers", ""),
    "events_dropped": ("Events dropped, receivers too slow", ""),
    "dead_letters": ("Items of the outbox refused for good", ""),
    "pings": ("Pings answered", ""),
    "ping_round_trip": ("Newest round trip", "s"),
    "ping_round_trip_mean": ("Mean round trip", "s"),
}

#: Figures with a count per code.
_TABLES: Mapping[str, str] = {
    "failures": "Failed attempts",
    "drops": "Connections lost",
    "close_codes": "Close codes of the server",
}

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Connection]
else:  # Django's class takes no parameter
    _ModelAdmin = admin.ModelAdmin


@admin.register(Connection)
class ConnectionAdmin(_ModelAdmin):
    """A page instead of a list."""

    def get_urls(self) -> List[URLPattern]:
        """Return one URL, with the name that the admin's index links to."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_changelist"
        return [path("", self.admin_site.admin_view(self.changelist_view), name=name)]

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Allow staff members."""
        return _is_staff(request)

    def has_view_permission(self, request: HttpRequest, obj: Optional[Connection] = None) -> bool:
        """Allow staff members."""
        return _is_staff(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Allow no user."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Optional[Connection] = None) -> bool:
        """Allow no user."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Optional[Connection] = None) -> bool:
        """Allow no user."""
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: Optional[Mapping[str, Any]] = None
    ) -> TemplateResponse:
        """Answer with the page.

        :raises PermissionDenied: a subclass does not allow it.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "CometChat: connection",
            "opts": self.opts,
            **report(),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/cometchat/connection.html", context)


def _is_staff(request: HttpRequest) -> bool:
    return bool(request.user.is_active and getattr(request.user, "is_staff", False))


def report() -> Dict[str, Any]:
    """Return the page's data. Makes no HTTP call.

    :raises ImproperlyConfigured: the setting ``COMETCHAT`` is wrong.
    """
    client = _process.get_client()
    status = _process.get_feed().report()
    stats = client.stats()
    return {
        "status": status["status"],
        "lasted": _lasted(parse_datetime(status["since"] or "")),
        "reason": status["reason"],
        "facts": _facts(client),
        "figures": _figures(stats),
        "tables": _tables(stats),
        "errors": [
            {"at": datetime.fromtimestamp(past.at, timezone.utc), "phase": past.phase, "error": past.error}
            for past in reversed(stats.last_errors)
        ],
        "live": _addresses(),
    }


def _lasted(since: Optional[datetime]) -> Optional[str]:
    """Return the time since then, in at most two units."""
    if since is None:
        return None
    seconds = max(0, int((datetime.now(timezone.utc) - since).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def _facts(client: Client) -> List[Tuple[str, object]]:
    asked = f"{os.getpid()} on {socket.gethostname()}"
    process = ("Process", asked if _process.started() else f"{asked}, which makes no connection")
    try:
        info = client.connection_info()
    except CometChatException:  # the site's code closed the client; the reason on the page says so
        return [process, ("App", client.app_id)]
    expires = info.jwt_expires_at
    leader = [("Leader of the shared connection", info.leader or "unknown")] if client.settings.status_store else []
    return [
        *leader,
        process,
        ("App", client.app_id),
        ("User", info.uid or "not logged in"),
        ("WebSocket", info.websocket_url or "known after the login"),
        ("Client API", info.client_url),
        ("Mode of the service", info.mode or "known after the login"),
        ("jwt expires", datetime.fromtimestamp(expires, timezone.utc) if expires else "unknown"),
    ]


def _figures(stats: Stats) -> List[Tuple[str, str]]:
    rows = []
    for one in fields(stats):
        if one.name in _FIGURES:
            label, unit = _FIGURES[one.name]
            value = getattr(stats, one.name)
            rows.append((label, "none yet" if value is None else _number(value, unit)))
    return rows


def _number(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1000:,.1f} ms"
    return f"{value:,} {unit}".rstrip()


def _tables(stats: Stats) -> List[Tuple[str, List[Tuple[object, int]]]]:
    counts = [(label, getattr(stats, name)) for name, label in _TABLES.items()]
    return [(label, sorted(by_code.items(), key=lambda item: -item[1])) for label, by_code in counts if by_code]


def _addresses() -> Optional[Dict[str, str]]:
    """Return the addresses of the views if the site has them. The page then shows the live indicator too."""
    try:
        return {name: reverse(f"cometchat:{name}") for name in ("events", "status", "script")}
    except NoReverseMatch:
        return None
