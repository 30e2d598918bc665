"""The known breaches of the rules, written by ``python tests/test_architecture.py``. To be emptied."""

from __future__ import annotations

from typing import Dict, Set

#: Rule -> findings.
KNOWN: Dict[str, Set[str]] = {
    "plain_english": {
        "CHANGELOG.rst: meanwhile",
        "CHANGELOG.rst: nobody",
        "docs/logging.rst: meanwhile",
    },
}
