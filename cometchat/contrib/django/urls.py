"""``path("cometchat/", include("cometchat.contrib.django.urls"))``."""

from __future__ import annotations

from typing import List

from django.urls import URLPattern, path

from . import views

app_name = "cometchat"

urlpatterns: List[URLPattern] = [
    path("status", views.status, name="status"),
    path("events", views.events, name="events"),
    path("health", views.health, name="health"),
    path("health/ready", views.health, name="health-ready"),
    path("health/live", views.health, {"probe": "live"}, name="health-live"),
    path("cometchat-status.js", views.script, name="script"),
]
