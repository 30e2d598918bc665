"""The shared parts of the Django app's tests: Django set up in this process, and the project in separate processes."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Optional

from .support import DEADLINE, HERE, plain

MANAGE = str(HERE / "django_project" / "manage.py")
SETTINGS = "DJANGO_SETTINGS_MODULE"


def set_up() -> None:
    """Set Django up, once in this process. The environment and its time zone stay as they are."""
    before = {name: os.environ.get(name) for name in (SETTINGS, "TZ", "TEST_DATABASE")}
    os.environ[SETTINGS] = "django_project.settings"
    if str(HERE) not in sys.path:  # the project's place; the folder itself is a package of tests
        sys.path.append(str(HERE))
    # A file, since Django does not close the connections of a database in memory.
    os.environ["TEST_DATABASE"] = str(Path(tempfile.gettempdir()) / f"django-tests-{os.getpid()}.sqlite3")
    atexit.register(Path(os.environ["TEST_DATABASE"]).unlink, missing_ok=True)
    try:
        import django

        django.setup()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if hasattr(time, "tzset"):
            time.tzset()


def environment(setting: Optional[Dict[str, Any]], **more: str) -> Dict[str, str]:
    """Return the environment of a process with the project."""
    if setting is not None:
        more["TEST_COMETCHAT"] = json.dumps(setting)
    own = {SETTINGS: "django_project.settings", "PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1"}
    return plain(**{**own, **more})


def manage(
    *arguments: str, setting: Optional[Dict[str, Any]] = None, **more: str
) -> "subprocess.CompletedProcess[str]":
    """Run ``manage.py`` to its end."""
    command = [sys.executable, "-W", "error", MANAGE, *arguments]
    env = environment(setting, **more)
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=DEADLINE)
