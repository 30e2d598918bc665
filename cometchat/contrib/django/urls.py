"""``path("cometchat/", include("cometchat.contrib.django.urls"))``."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "cometchat"

urlpatterns = [
    path("status", views.status, name="status"),
    path("events", views.events, name="events"),
    path("health", views.health, name="health"),
    path("cometchat-status.js", views.script, name="script"),
]
