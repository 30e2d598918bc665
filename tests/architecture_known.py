"""The known breaches of the rules, written by ``python tests/test_architecture.py``."""

from __future__ import annotations

from typing import Dict, Set

#: Rule -> findings.
KNOWN: Dict[str, Set[str]] = {}
