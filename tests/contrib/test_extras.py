"""Packages of contrib without the libraries that they need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .support import plain

#: A program that imports a package while a module is not installed, and prints the error.
_PROGRAM = """
import importlib, sys
package, missing = sys.argv[1:]
sys.modules[missing] = None  # Python raises ModuleNotFoundError for it
try:
    importlib.import_module(package)
except ModuleNotFoundError as error:
    print(error)
    print(error.name)
"""


@pytest.mark.parametrize(
    "extra, missing",
    [
        ("flask", "flask"),
        ("flask", "blinker"),
        ("django", "django"),
        ("redis", "redis"),
        ("prometheus", "prometheus_client"),
        ("opentelemetry", "opentelemetry.metrics"),
    ],
)
def test_the_error_says_which_extra_to_install(extra: str, missing: str) -> None:
    """The error has the command for the installation: its reader may not know that Flask brings blinker."""
    pytest.importorskip(missing)
    command = [sys.executable, "-c", _PROGRAM, f"cometchat.contrib.{extra}", missing]
    done = subprocess.run(command, capture_output=True, text=True, env=plain(PYTHONPATH=":".join(sys.path)), timeout=50)
    assert f"pip install 'cometchat[{extra}]'" in done.stdout, done.stdout + done.stderr
    assert done.stdout.splitlines()[1].startswith(missing)
