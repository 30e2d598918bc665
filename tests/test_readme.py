"""The README's code runs, its demo is the real demo, and its links lead to pages."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from cometchat import CometChat, api
from cometchat.cli import main
from cometchat.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.rst").read_text(encoding="utf-8")


def blocks(language: str) -> List[str]:
    """Return the code blocks of a language."""
    found = re.findall(rf"^\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)", README, re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


PROGRAMS = blocks("python")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox whose account is in the environment, as ``python -m cometchat sandbox`` prints it."""
    with Sandbox() as running:
        monkeypatch.setenv("COMETCHAT_APP_ID", running.app_id)
        monkeypatch.setenv("COMETCHAT_UID", "cometchat-uid-1")
        monkeypatch.setenv("COMETCHAT_AUTH_KEY", running.auth_key)
        for name in ("ADMIN_HOST", "CLIENT_HOST"):
            monkeypatch.setenv(f"COMETCHAT_{name}", running.url)
        yield running
        for kind in ("connection", "message"):
            for listener_id in list(CometChat._registry._entries.get(kind, ())):
                CometChat._registry.remove(kind, listener_id)
        CometChat.close()
        api._client = None


def run(program: str, **names: Any) -> Dict[str, Any]:
    namespace: Dict[str, Any] = {"__name__": "__main__", **names}
    exec(compile(program, "README.rst", "exec"), namespace)
    return namespace


def answers(sandbox: Sandbox) -> List[str]:
    return [message["data"]["text"] for message in sandbox.messages if message["sender"] == "cometchat-uid-1"]


def lines(program: str) -> int:
    """Return the number of the program's lines, without empty ones."""
    return len([line for line in program.splitlines() if line.strip()])


def test_the_readme_is_short() -> None:
    """The README is short enough for five minutes, and its code fits a narrow window."""
    assert len(README.split()) <= 600
    code = "".join(block for language in ("python", "shell", "text") for block in blocks(language))
    assert [line for line in code.splitlines() if len(line) > 80] == []


def test_the_first_program() -> None:
    """The first program has ten lines, runs as it is, prints its messages, keeps running, and ends with its client."""
    assert lines(PROGRAMS[0]) == 10
    said, heard = [], threading.Event()

    def say(*words: str) -> None:
        said.append(" ".join(words))
        heard.set()

    names: Dict[str, Any] = {"print": say}
    running = threading.Thread(target=exec, args=(PROGRAMS[0], names), daemon=True)
    running.start()
    assert heard.wait(10) and running.is_alive()
    assert said == re.findall(r"^This prints ``(.+?)``", README, re.MULTILINE)
    names["client"].close()
    running.join(10)
    assert not running.is_alive()


def test_a_bot_of_your_own_app(sandbox: Sandbox) -> None:
    """The second program takes its account from the environment, keeps running, answers, and ends with its client."""
    program = PROGRAMS[1]
    assert lines(program) <= 10
    running = threading.Thread(target=run, args=(program,), daemon=True)
    running.start()
    assert sandbox.wait_for_connections(1, 10)
    sandbox.send_message("cometchat-uid-1", "cometchat-uid-2", "From a phone")
    sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "Hello")
    assert sandbox.wait_until(lambda: answers(sandbox)[1:] == ["Hello"], 10), answers(sandbox)
    assert running.is_alive()
    CometChat.close()
    running.join(10)
    assert not running.is_alive()


def test_django() -> None:
    """Django accepts the settings and the URLs, in a separate project."""
    pytest.importorskip("django")
    settings, _, urls = PROGRAMS[2].partition("# urls.py\n")
    account = '"APP_ID": "...", "REGION": "us", "UID": "...", "AUTH_KEY": "..."'
    assert account in settings
    program = (
        "import django, sys, types\nfrom django.conf import settings\n"
        f"INSTALLED_APPS = []\n{settings.replace(account, account.replace('...', 'x'))}"
        "settings.configure(INSTALLED_APPS=INSTALLED_APPS, COMETCHAT=COMETCHAT, ROOT_URLCONF='urls')\ndjango.setup()\n"
        "from django.urls import include, path, reverse\nurls = sys.modules['urls'] = types.ModuleType('urls')\n"
        f"urlpatterns = urls.urlpatterns = []\n{urls}print(reverse('cometchat:status'))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert (ended.stdout, ended.stderr) == ("/cometchat/status\n", "")


def test_flask() -> None:
    """The extension accepts the settings, and the template has the light."""
    flask = pytest.importorskip("flask")
    names = run(PROGRAMS[3].replace('"..."', '"x"'))
    app = names["app"]
    app.testing = True
    with app.test_request_context():
        assert "<cometchat-status" in flask.render_template_string("{{ cometchat_status() }}")


def test_there_is_no_other_program() -> None:
    """These tests run each Python program of the README."""
    assert len(PROGRAMS) == 4


def test_the_demo_is_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """The README shows a part of the output of make demo, in its order."""
    assert main(["demo"]) == 0
    shown = [re.sub(r"\d+\.\d+|\.\.\.", "*", line) for line in blocks("text")[0].splitlines() if line]
    printed = iter(capsys.readouterr().out.splitlines())
    assert len(shown) == 5
    assert [line for line in shown if not any(fnmatch.fnmatchcase(each, line) for each in printed)] == []


def test_the_commands_exist() -> None:
    """Every make target and cometchat command in the README exists."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)\b +#", README)) | {"demo"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for command in set(re.findall(r"python -m cometchat\s+([a-z]+)", README)):
        assert main([command, "--help"]) == 0


def test_the_links_lead_somewhere() -> None:
    """Every file that the README links to exists."""
    links = re.findall(r"`[^`]+ <([^>:]+)>`_", README)
    assert len(links) >= 7
    assert [link for link in links if not (ROOT / link).exists()] == []


#: The first words of a page that only `make docs` can read, since it includes another file or the docstrings.
SPHINX_ONLY = ".. sphinx only:"

PAGES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("docs", "docs/howto", "examples")
    for path in (ROOT / folder).glob("*.rst")
    if not path.read_text(encoding="utf-8").startswith(SPHINX_ONLY)
)


def test_the_texts_are_restructured_text() -> None:
    """README, CHANGELOG and docs have no mistake in their markup: a package index would show them as plain text."""
    core = pytest.importorskip("docutils.core")
    rst = pytest.importorskip("docutils.parsers.rst")
    # The site's menu, on the front page. A code host leaves out what it does not know.
    menu = type("Menu", (rst.Directive,), {"has_content": True, "option_spec": None, "run": lambda self: []})
    menu.option_spec = {"hidden": str, "glob": str, "caption": str}
    rst.directives.register_directive("toctree", menu)
    settings = {"halt_level": 2, "report_level": 2, "syntax_highlight": "none", "file_insertion_enabled": False}
    wrong = []
    for name in ["README.rst", "CHANGELOG.rst", *PAGES]:
        try:
            core.publish_string((ROOT / name).read_text(encoding="utf-8"), settings_overrides=settings)
        except Exception as error:
            wrong.append(f"{name}: {error}")
    assert len(PAGES) > 20 and not wrong, "\n".join(wrong)
