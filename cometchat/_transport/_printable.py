"""Text of a server in errors and logs: on one line, and without what a terminal would obey."""

from __future__ import annotations

import re

#: Control characters, line and paragraph separators, marks that change the direction of text, invisible characters, and
#: halves of surrogate pairs.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return the text with line breaks, ANSI sequences and bidi marks escaped, such as ``\\n`` and ``\\u202e``."""
    return _UNSAFE.sub(lambda match: ascii(match.group())[1:-1], text)
