"""Tab completion. The test asks like a shell: with argcomplete's variables, and the answer on file descriptor 8."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from typing import List

import pytest

from cometchat.cli import main

SEPARATOR = "\013"


def completions(line: str) -> List[str]:
    """Return the shell's completions for a line with the cursor at its end."""
    env = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": SEPARATOR,
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    program = ["-c", "import sys; from cometchat.cli import main; sys.exit(main())"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 8>&1 9>/dev/null', "sh", sys.executable, *program],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [word.strip() for word in done.stdout.split(SEPARATOR) if word]


@pytest.mark.skipif(importlib.util.find_spec("argcomplete") is None, reason="pip install 'cometchat[completion]'")
@pytest.mark.skipif(shutil.which("sh") is None, reason="the protocol is that of a Unix shell")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cometchat do", ["doctor"]),
        ("cometchat s", ["sandbox", "send"]),
        ("cometchat doctor --js", ["--json"]),
        ("cometchat watch --until c", ["connected", "connecting"]),
        ("cometchat nonsense", []),
    ],
)
def test_a_line_is_completed(line: str, expected: List[str]) -> None:
    """A line is completed with commands, options and choices. Any other word gets no completion."""
    assert sorted(completions(line)) == expected


def test_without_argcomplete_the_variable_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command runs as usual in an environment that still has the variable."""
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cometchat ")
