"""The code blocks of the docs, for the tests that run them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import List, Tuple

DOCS = Path(__file__).resolve().parent.parent / "docs"


def blocks(page: str) -> List[Tuple[str, str]]:
    """Return the language and the text of each code block of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(r"^( *)\.\. code-block:: (\w+)\n\n((?:\1    .*\n|\n)+)", text, re.MULTILINE)
    return [(language, textwrap.dedent(body).rstrip() + "\n") for _, language, body in found]


def programs(page: str) -> List[str]:
    """Return the Python programs of a page."""
    return [text for language, text in blocks(page) if language == "python"]


def block(page: str, language: str, part: str, *changes: Tuple[str, str]) -> str:
    """Return the only block of a page with this text in it, after the changes."""
    (text,) = [text for each, text in blocks(page) if each == language and part in text]
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text
