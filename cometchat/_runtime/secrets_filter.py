"""A filter that keeps secrets out of a log: those of this SDK's clients, whoever writes them."""

from __future__ import annotations

import logging
import re
from typing import Optional

from .secrets import scrub_all

#: Anything that looks like a jwt: three parts in base64url, the first of which begins with ``{"``.
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*")

#: A key and its value in JSON, a header, or Python's repr of either.
_KEYED = re.compile(
    r"""((?:api_?key|auth_?key|auth_?token|authorization|jwt)["']?\s*[:=]\s*)(["']?)"""
    r"""(?:(?:basic|bearer|digest|token)\s+)?[^\s"',}&]+\2""",
    re.IGNORECASE,
)


class SecretsFilter(logging.Filter):
    """Blots out auth keys, auth tokens and jwts. For a handler: ``handler.addFilter(SecretsFilter())``.

    This SDK's own records hold none. A filter on a handler sees those of every library and of your code too: whatever
    a client of this process has used as a secret is found, and what looks like a jwt or is named like a secret.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrites the record's text and traceback where they hold a secret. Always True."""
        try:
            text = record.getMessage()
        except Exception:  # the arguments do not fit the text: the handler's to report
            return True
        clean = _scrub(text)
        if clean != text:
            record.msg, record.args = clean, None
        trace: Optional[str] = record.exc_text
        if record.exc_info and record.exc_info[0] is not None and not trace:
            trace = logging.Formatter().formatException(record.exc_info)
        if trace:
            clean = _scrub(trace)
            if clean != trace:  # a formatter takes this in place of one of its own
                record.exc_text = clean
        if record.stack_info:
            record.stack_info = _scrub(record.stack_info)
        return True


def _scrub(text: str) -> str:
    return _KEYED.sub(lambda found: found.group(1) + "***", _JWT.sub("***", scrub_all(text)))
