"""Makes a server's text safe for errors and logs: one line, without terminal control sequences."""

from __future__ import annotations

import re

#: Control characters, line and paragraph separators, marks that change the direction of text, invisible characters, and
#: lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return the text with line breaks, ANSI sequences and bidi marks escaped, such as ``\\n`` and ``\\u202e``."""
    return _UNSAFE.sub(lambda match: ascii(match.group())[1:-1], text)
