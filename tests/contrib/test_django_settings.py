"""The setting COMETCHAT: every mistake has a check, and a table has the roles of processes."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Set

import pytest
from rows import each_row

pytest.importorskip("django", reason="Django is not installed: pip install 'cometchat[django]'")

from . import django_support  # noqa: E402

django_support.set_up()

from django.core import checks  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.test import override_settings  # noqa: E402
from django_project import settings  # noqa: E402

from cometchat.contrib.django import _serving as serving  # noqa: E402
from cometchat.contrib.django import get_client, stop  # noqa: E402
from cometchat.contrib.django._checks import check_secrets  # noqa: E402
from cometchat.contrib.web._settings import FIELDS  # noqa: E402

GOOD = {"APP_ID": "app", "REGION": "us", "UID": "cometchat-uid-1", "AUTH_KEY": "0123456789"}


def without(*keys: str, **more: Any) -> Dict[str, Any]:
    return {key: value for key, value in {**GOOD, **more}.items() if key not in keys}


async def new_token() -> str:
    """Return a token, if it is awaited."""
    return "t"


@each_row(
    "value, expected",
    [
        (None, ["E001 The setting COMETCHAT is missing"]),
        ("app", ['E001 The setting COMETCHAT is not a dictionary of names and values. Give a mapping: {"APP_ID"']),
        (
            {**GOOD, 1: 2},
            [
                "E001 The setting COMETCHAT is not a dictionary of names and values. "
                'Give a mapping: {"APP_ID": ...}. One of the names is: int.'
            ],
        ),
        (without(REGIN="eu"), ["E002 COMETCHAT has an unknown key, 'REGIN'. Did you mean REGION?"]),
        (without(app_id="app"), ["E002 COMETCHAT has an unknown key, 'app_id'. Did you mean APP_ID?"]),
        (without(FOO=1), ["E002 COMETCHAT has an unknown key, 'FOO'. The keys are APP_ID, UID,"]),
        (without("APP_ID"), ["E003 COMETCHAT: Missing app_id"]),
        (without(APP_ID=7), ["E003 COMETCHAT: Invalid app_id"]),
        (without(APP_ID="a/b"), ["E003 COMETCHAT: Invalid app_id"]),
        (without("AUTH_KEY"), ["E004 COMETCHAT has no credential. To log in, give UID and AUTH_KEY, or AUTH_TOKEN."]),
        (without(AUTH_TOKEN="t"), ["E004 COMETCHAT has both AUTH_KEY and AUTH_TOKEN"]),
        (without(AUTH_KEY=" spaced"), ["E004 COMETCHAT: Invalid AUTH_KEY. Give a string in printable ASCII"]),
        (without("AUTH_KEY", AUTH_TOKEN=7), ["E004 COMETCHAT: Invalid AUTH_TOKEN. Give a string in"]),
        (without("AUTH_KEY", AUTH_TOKEN=new_token), ["E004 COMETCHAT: Invalid AUTH_TOKEN"]),
        (without("AUTH_KEY", AUTH_TOKEN="t", REFRESH=new_token), ["E004 COMETCHAT: Invalid REFRESH"]),
        (without(AUTH_KEY=len), ["E004 COMETCHAT: Invalid AUTH_KEY"]),
        (without("UID"), ["E005 COMETCHAT: AUTH_KEY needs UID"]),
        (without("AUTH_KEY", AUTH_TOKEN="t", UID=7), ["E005 COMETCHAT: Invalid UID"]),
        (without(UID="cometchat-uid-1\n"), ["E005 COMETCHAT: Invalid UID"]),
        (without("REGION"), ["E006 COMETCHAT: Missing region"]),
        (without(REGION="u s"), ["E006 COMETCHAT: Invalid region"]),
        (without(ROLES=["a"]), ["E006 COMETCHAT: Invalid roles"]),
        (without(SUBSCRIPTION_TYPE="ROLES"), ["E006 COMETCHAT: Missing roles"]),
        (
            without(PING_INTERVAL=-1, CONNECT_TIMEOUT="x"),
            ["E006 COMETCHAT: Invalid connect_timeout", "E006 COMETCHAT: Invalid ping_interval"],
        ),
        (without(START="now"), ["E007 COMETCHAT: Invalid START"]),
        (without(CELERY=1), ["E007 COMETCHAT: Invalid CELERY"]),
        (without(MAX_STREAMS=-1), ["E007 COMETCHAT: Invalid MAX_STREAMS"]),
        (without(KEEP_ALIVE="10"), ["E007 COMETCHAT: Invalid KEEP_ALIVE"]),
        (without(REFRESH=lambda: "t"), ["E004 COMETCHAT: Invalid REFRESH"]),
        (
            {"APPID": "app", "UID": 7},
            [
                "E002 COMETCHAT has an",
                "E003 COMETCHAT: Missing app_id",
                "E004 COMETCHAT",
                "E006 COMETCHAT: Missing region",
            ],
        ),
    ],
)
def test_each_mistake_has_its_check(value: object, expected: List[str]) -> None:
    """All messages and hints come at once. The exception of get_client() has the same text."""
    with override_settings(COMETCHAT=value):
        found = [error for error in checks.run_checks(tags=["cometchat"])]
        told = [f"{str(error.id).partition('.')[2]} {error.msg} {error.hint}" for error in found]
        assert len(told) == len(expected), told
        for text, beginning in zip(told, expected):
            assert text.startswith(beginning), text
        assert all(error.level == checks.ERROR for error in found)
        with pytest.raises(ImproperlyConfigured, match=expected[0][5:20]):
            get_client()
        for error in found:
            assert GOOD["AUTH_KEY"] not in f"{error}"


@pytest.mark.parametrize(
    "value",
    [
        GOOD,
        without("AUTH_KEY", "UID", AUTH_TOKEN="t"),
        without("AUTH_KEY", "UID", AUTH_TOKEN=lambda: "t"),
        without("AUTH_KEY", "UID", AUTH_TOKEN="t", REFRESH=lambda: "u"),
        without("REGION", ADMIN_HOST="http://127.0.0.1:1", CLIENT_HOST="http://127.0.0.1:1"),
        without(
            START="never",
            CELERY=True,
            MAX_STREAMS=0,
            KEEP_ALIVE=2,
            SUBSCRIPTION_TYPE="ROLES",
            ROLES=["a"],
            PING_INTERVAL=5,
        ),
    ],
)
def test_right_settings_pass(value: Dict[str, Any]) -> None:
    """No check complains, and get_client() returns a client that is not logged in."""
    with override_settings(COMETCHAT=value):
        assert checks.run_checks(tags=["cometchat"]) == []
        client = get_client()
        assert client.app_id == "app" and client is get_client()
        assert client.get_connection_status() == "disconnected" and client.get_logged_in_user() is None
        for key, name in FIELDS.items():
            if key in value and key not in ("ROLES",):
                assert getattr(client.settings, name) == value[key]
    with override_settings(COMETCHAT=GOOD):
        assert get_client() is not client, "the client with the old settings is released"
        stop()


def test_a_check_makes_no_client(caplog: pytest.LogCaptureFixture) -> None:
    """The log of a process names only the clients that it uses."""
    with caplog.at_level("DEBUG", logger="cometchat"), override_settings(COMETCHAT=GOOD):
        assert checks.run_checks(tags=["cometchat"]) == []
    assert caplog.records == []


def test_the_checks_are_in_manage_py() -> None:
    """``manage.py check`` reports the mistake and its cure, and fails."""
    ended = django_support.manage("check", setting={**GOOD, "AUTHKEY": "0123456789"})
    assert ended.returncode == 1
    assert "(cometchat.E002) COMETCHAT has an unknown key, 'AUTHKEY'." in ended.stderr
    assert "HINT: Did you mean AUTH_KEY?" in ended.stderr
    assert "0123456789" not in ended.stderr + ended.stdout


def test_a_secret_in_the_settings_file_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--deploy`` warns if the file of the settings has the value, and not if the value has another source."""
    value = {**GOOD, "AUTH_KEY": "of-the-tests"}  # the file has it, as its SECRET_KEY
    monkeypatch.setattr(settings, "COMETCHAT", value, raising=False)
    with override_settings(COMETCHAT=value):
        (warning,) = check_secrets(None)
        assert (warning.id, warning.level) == ("cometchat.W001", checks.WARNING)
        assert 'os.environ["COMETCHAT_AUTH_KEY"]' in str(warning.hint) and "of-the-tests" not in str(warning)
        assert warning in checks.run_checks(include_deployment_checks=True)
        assert warning not in checks.run_checks()
    monkeypatch.setattr(settings, "COMETCHAT", GOOD)
    with override_settings(COMETCHAT=GOOD):
        assert check_secrets(None) == []


class Uwsgi:
    """Stands for uWSGI's module."""

    def __init__(self, worker: int) -> None:
        self._worker = worker

    def worker_id(self) -> int:
        return self._worker


MANAGEMENT = {"django", "django.core.management", "__main__"}
WSGI = {"django", "django.core.wsgi", "site.wsgi"}


@each_row(
    "argv, environ, callers, uwsgi, expected",
    [
        (["manage.py", "runserver"], {}, MANAGEMENT, None, "other"),  # the reloader's parent
        (["manage.py", "runserver"], {"RUN_MAIN": "true"}, MANAGEMENT, None, "serves"),
        (["manage.py", "runserver", "--noreload"], {}, MANAGEMENT, None, "serves"),
        (["manage.py", "runserver_plus"], {"WERKZEUG_RUN_MAIN": "true"}, MANAGEMENT, None, "serves"),
        (["manage.py", "migrate"], {}, MANAGEMENT, None, "other"),
        (["manage.py", "migrate"], {"RUN_MAIN": "true"}, MANAGEMENT, None, "other"),
        (["manage.py", "shell"], {}, MANAGEMENT | WSGI, None, "other"),
        (["manage.py"], {}, MANAGEMENT, None, "other"),
        (["script.py", "runserver"], {}, {"django", "__main__"}, None, "other"),
        (["celery"], {}, {"django", "celery.fixups.django"}, None, "other"),
        (["gunicorn"], {}, {"gunicorn.arbiter", "gunicorn.workers.base", *WSGI}, None, "serves"),
        (["gunicorn"], {}, {"gunicorn.arbiter", "gunicorn.app.base", *WSGI}, None, "forks"),
        (["gunicorn"], {}, {"gunicorn.arbiter", "uvicorn.workers", *WSGI}, None, "serves"),
        (["serve.py"], {}, {"gunicorn.arbiter", "__main__", *WSGI}, None, "forks"),  # gunicorn in a separate program
        (["daphne"], {}, {"daphne.cli", "django", "django.core.asgi"}, None, "serves"),
        (["uvicorn"], {}, {"uvicorn.importer", "django", "django.core.asgi"}, None, "serves"),
        (["uwsgi"], {}, WSGI, Uwsgi(0), "forks"),
        (["uwsgi"], {}, WSGI, Uwsgi(1), "serves"),
        (["uwsgi"], {}, {"django", "__main__"}, Uwsgi(1), "other"),
    ],
)
def test_the_role_of_a_process(
    argv: List[str], environ: Dict[str, str], callers: Set[str], uwsgi: Optional[Uwsgi], expected: str
) -> None:
    """A process that loads the application serves, except a server that will fork.

    A command does not serve, except runserver.
    """
    assert serving.role(argv, environ, callers, uwsgi).value == expected
