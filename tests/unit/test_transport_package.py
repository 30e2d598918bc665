"""The names that upper floors import from the transport, and the modules that this loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import cometchat
from cometchat._transport import http, net, websocket

_LOADED = """
import json, sys
import cometchat._transport._interfaces, cometchat._transport._exception_chain, cometchat._transport._form
print(json.dumps(sorted(sys.modules)))
"""


def test_the_package_is_light() -> None:
    """The protocols and pure functions load no socket and no library.

    These are loaded with the names that need them.
    """
    command = [sys.executable, "-c", _LOADED]
    environment = {"PYTHONPATH": str(Path(cometchat.__file__).parents[1])}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, env=environment, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(ended.stdout)}
    assert loaded & {"requests", "urllib3", "websocket", "certifi", "orjson", "socket", "ssl"} == set()


@pytest.mark.parametrize("package", [http, net, websocket], ids=lambda package: package.__name__)
def test_every_exported_name_is_there(package: object) -> None:
    """``__all__`` names each once, and no name that the package lacks."""
    names = getattr(package, "__all__")
    assert len(set(names)) == len(names)
    assert [name for name in names if getattr(package, name, None) is None] == []
