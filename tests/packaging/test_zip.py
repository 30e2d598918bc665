"""The package in a zip file, such as a program made by ``python -m zipapp``."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Prints where the package is, and the sizes of its files that are not modules.
PROGRAM = """
from http.client import HTTPConnection
import cometchat
from cometchat.contrib.flask import CometChatFlask
from cometchat.contrib.web import component_script
from cometchat.sandbox import Sandbox

print(cometchat.__file__)
print(len(component_script()))
with Sandbox() as sandbox:
    for path in ("/", "/page/style.css", "/page/script.js"):
        connection = HTTPConnection("127.0.0.1", sandbox.port, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        print(answer.status, answer.getheader("Content-Type"), len(answer.read()))
        connection.close()
"""


def test_the_package_works_in_a_zip_file(tmp_path: Path) -> None:
    """Flask's extension can be imported there, and the sandbox has its page."""
    pytest.importorskip("flask")
    package = ROOT / "cometchat"
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        for path in sorted(package.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(ROOT))
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "app.zip")}
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=100)
    assert done.returncode == 0, done.stderr
    place, script, *pages = done.stdout.splitlines()
    assert place.startswith(str(tmp_path / "app.zip"))
    assert int(script) == len((package / "contrib/web/cometchat-status.js").read_text(encoding="utf-8"))
    files = {"index.html": "text/html", "style.css": "text/css", "script.js": "text/javascript"}
    sizes = [(package / "sandbox/page" / name).stat().st_size for name in files]
    assert pages == [f"200 {kind}; charset=utf-8 {size}" for kind, size in zip(files.values(), sizes)]
