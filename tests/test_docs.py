"""The docs' claims that can be read off the code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from cometchat import exceptions
from cometchat._protocol.states import CALLBACKS

DOCS = Path(__file__).resolve().parent.parent / "docs"


def _diagram() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_state_diagram", DOCS / "make_state_diagram.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_diagram_is_drawn_from_the_table_as_it_is() -> None:
    """states.dot is what the script makes of the table today, and states.svg was drawn from it."""
    diagram = _diagram()
    text = diagram.dot()
    assert (DOCS / "states.dot").read_text(encoding="utf-8") == text
    assert f"<!-- states.dot {diagram.digest(text)} -->" in (DOCS / "states.svg").read_text(encoding="utf-8")


def test_the_table_of_callbacks_is_the_code_s() -> None:
    """docs/states.rst lists exactly the status changes and callbacks of the code."""
    rows = re.findall(
        r"^``(\w+)``\s+``(\w+)``\s+``(on_\w+)``$", (DOCS / "states.rst").read_text(encoding="utf-8"), re.M
    )
    assert {(old, new, method) for old, new, method in rows} == {
        (str(old), str(new), method) for (old, new), method in CALLBACKS.items()
    }


@pytest.mark.parametrize("code", sorted(name for name in dir(exceptions) if name.isupper() and name != "CLASSES"))
def test_every_code_is_explained(code: str) -> None:
    """docs/errors.rst has an entry for each code of the SDK."""
    assert getattr(exceptions, code) == code
    assert re.search(rf"^``.*\b{code}\b.*``$", (DOCS / "errors.rst").read_text(encoding="utf-8"), re.M)


def test_links_lead_somewhere() -> None:
    """Every file that a page of the docs links to exists."""
    pages = sorted(DOCS.glob("*.rst"))
    assert pages
    for page in pages:
        for target in re.findall(r"`[^`]+<([^>:]+)>`_|image:: (\S+)", page.read_text(encoding="utf-8")):
            path = DOCS / (target[0] or target[1])
            assert path.exists(), f"{page.name}: {path}"
