"""The site's settings. The app needs INSTALLED_APPS and COMETCHAT. The other settings are usual for Django."""

import os

SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-this-example")
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "urls"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "cometchat.contrib.django",
    "bot",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [os.path.dirname(__file__)],
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
# In memory, for all threads of the process, unless SITE_DATABASE names a file; sessions in cookies.
MEMORY = "file:site?mode=memory&cache=shared"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("SITE_DATABASE", MEMORY)}}
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"

COMETCHAT = {
    "APP_ID": os.environ["COMETCHAT_APP_ID"],
    "REGION": os.environ.get("COMETCHAT_REGION"),
    "ADMIN_HOST": os.environ.get("COMETCHAT_ADMIN_HOST"),
    "CLIENT_HOST": os.environ.get("COMETCHAT_CLIENT_HOST"),
    "CA_CERTS": os.environ.get("COMETCHAT_CA_CERTS"),
    "UID": os.environ["COMETCHAT_UID"],
    "AUTH_KEY": os.environ["COMETCHAT_AUTH_KEY"],
    "SETTINGS_REFRESH_INTERVAL": 1,
}
