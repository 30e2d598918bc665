"""The app's views, a page with the indicator, and the admin."""

from __future__ import annotations

import os
import threading

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import engines
from django.urls import include, path

from cometchat.contrib.django import get_client


def page(request: HttpRequest) -> HttpResponse:
    template = engines["django"].from_string("{% load cometchat %}{% cometchat_status text_connected='Da' %}")
    return HttpResponse(template.render({}, request))


def process(request: HttpRequest) -> JsonResponse:
    status = get_client().get_connection_status()
    return JsonResponse({"pid": os.getpid(), "status": status, "threads": threading.active_count()})


urlpatterns = [
    path("", page),
    path("process", process),
    path("admin/", admin.site.urls),
    path("cometchat/", include("cometchat.contrib.django.urls")),
]
