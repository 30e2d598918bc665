"""The README's code runs, its demo is the demo, and its links lead somewhere."""

from __future__ import annotations

import re
import textwrap
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from cometchat import AppSettings, CometChat, MessageListener, TextMessage
from cometchat.cli import main
from cometchat.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.rst").read_text(encoding="utf-8")


def blocks(language: str) -> List[str]:
    """The code blocks of a language."""
    found = re.findall(rf"^\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)", README, re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


PROGRAMS = blocks("python")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox, whose account is in the environment as ``python -m cometchat sandbox`` prints it."""
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
        CometChat._client = None


def run(program: str, **names: Any) -> Dict[str, Any]:
    namespace: Dict[str, Any] = {"__name__": "__main__", **names}
    exec(compile(program, "README.rst", "exec"), namespace)
    return namespace


def answers(sandbox: Sandbox) -> List[str]:
    return [message["data"]["text"] for message in sandbox.messages if message["sender"] == "cometchat-uid-1"]


def test_your_own_code(sandbox: Sandbox) -> None:
    """The first program has about ten lines, keeps running, is green, answers, and ends with its client."""
    program = PROGRAMS[0]
    assert len([line for line in program.splitlines() if line.strip()]) <= 10
    printed: List[str] = []
    running = threading.Thread(target=run, args=(program,), kwargs={"print": printed.append}, daemon=True)
    running.start()
    assert sandbox.wait_for_connections(1, 10)
    sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "Hello")
    assert sandbox.wait_until(lambda: answers(sandbox) == ["Hello"], 10)
    assert printed == ["green"] and running.is_alive()
    CometChat.close()
    running.join(10)
    assert not running.is_alive()


def test_messages_come_and_go(sandbox: Sandbox) -> None:
    """The second program answers what it gets, and what it missed, and looks at edits."""
    run(PROGRAMS[1], CometChat=CometChat, MessageListener=MessageListener, TextMessage=TextMessage)
    CometChat.init(sandbox.app_id, AppSettings.from_env())
    CometChat.login("cometchat-uid-1", sandbox.auth_key)
    CometChat.connect(timeout=10)
    sent = sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "Hello")
    assert sandbox.wait_until(lambda: answers(sandbox) == ["Hello"], 10)
    sandbox.refuse_connections()
    sandbox.drop_connections()
    assert CometChat.wait_for_status("connecting", timeout=10)
    sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "meanwhile")
    sandbox.accept_connections()
    assert sandbox.wait_until(lambda: answers(sandbox) == ["Hello", "meanwhile"], 10)
    sandbox.edit_message(sent["id"], "Hello!")
    assert sandbox.wait_until(lambda: "reactions" in sandbox.messages[0]["data"], 10)


def test_with_faults() -> None:
    """The third program sees a connection come back."""
    run(PROGRAMS[2])


def test_there_is_no_other_program() -> None:
    """Each Python program of the README is run here."""
    assert len(PROGRAMS) == 3


def test_the_demo_is_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """The README shows the steps and calls that make demo prints."""

    def essence(text: str) -> List[str]:
        return re.findall(r"^\d\. .*|on_\w+\(\)(?=  )", text, re.MULTILINE)

    assert main(["demo"]) == 0
    printed = essence(capsys.readouterr().out)
    assert len(printed) == 16
    assert essence(blocks("text")[0]) == printed


def test_the_commands_exist() -> None:
    """Every make target and cometchat command that the README names exists."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)\b +#", README)) | {"demo"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for command in set(re.findall(r"python -m cometchat\s+([a-z]+)", README)):
        assert main([command, "--help"]) == 0


def test_the_links_lead_somewhere() -> None:
    """Every file that the README links to is there."""
    links = re.findall(r"`[^`]+ <([^>:]+)>`_", README)
    assert len(links) >= 7
    assert [link for link in links if not (ROOT / link).exists()] == []


#: The first words of a page that only `make docs` can read: it includes another file, or the docstrings.
SPHINX_ONLY = ".. sphinx only:"

PAGES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("docs", "docs/howto", "examples")
    for path in (ROOT / folder).glob("*.rst")
    if not path.read_text(encoding="utf-8").startswith(SPHINX_ONLY)
)


def test_the_texts_are_restructured_text() -> None:
    """README, CHANGELOG and docs have no mistake of markup: a package index would show them as plain text."""
    core = pytest.importorskip("docutils.core")
    rst = pytest.importorskip("docutils.parsers.rst")
    # The site's menu, on the front page: a code host leaves out what it does not know.
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
