"""The settings. ``TEST_COMETCHAT`` is the setting COMETCHAT as JSON, and ``TEST_RECORD`` a file that receivers write
to.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict

SECRET_KEY = "of-the-tests"
DEBUG = bool(os.environ.get("TEST_DEBUG"))
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "django_project.urls"
WSGI_APPLICATION = "django_project.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
LOGGING_CONFIG = None

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "cometchat.contrib.django",
]
MIDDLEWARE = [
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES: Any = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("TEST_DATABASE", ":memory:"),
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"

if "TEST_COMETCHAT" in os.environ:
    COMETCHAT: Dict[str, Any] = json.loads(os.environ["TEST_COMETCHAT"])
