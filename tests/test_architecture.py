"""The rules of the architecture hold: see architecture_rules.py. architecture_known.py lists the known breaches.

``python tests/test_architecture.py`` writes architecture_known.py again, from the breaches in the tree.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Set

from architecture_known import KNOWN
from architecture_rules import GUESTS, PACKAGE, RULES, THIRD_PARTY, Module, Tree, cycles, read_tree


def findings() -> Dict[str, Set[str]]:
    tree = read_tree()
    return {rule.__name__: set(rule(tree)) for rule in RULES}


def test_the_rules_hold() -> None:
    """Every rule holds, apart from its known breaches, and each known breach still exists."""
    lines: List[str] = []
    all_found = findings()
    for rule, found in all_found.items():
        known = KNOWN.get(rule, set())
        lines += [f"{rule}: {finding}" for finding in sorted(found - known)]
        lines += [f"{rule}: no longer broken, remove from KNOWN: {finding}" for finding in sorted(known - found)]
    lines += [f"{rule}: KNOWN names it, but it is not a rule" for rule in set(KNOWN) - set(all_found)]
    assert not lines, "\n" + "\n".join(lines)


def test_each_rule_can_fail() -> None:
    """Each rule finds a module that breaks it."""
    few = ("", "api", "client", "cli", "sandbox", "_runtime")
    tree = read_tree(few)
    assert cycles({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []
    missed = []
    for rule, (name, source, finding) in RULES.items():
        others = [module for module in tree.modules if module.name != name]
        is_package = len(others) < len(tree.modules) and any(m.is_package for m in tree.modules if m.name == name)
        broken = Tree([*others, Module(name, source, is_package)])
        if finding in set(rule(tree)) or finding not in set(rule(broken)):
            missed.append(f"{rule.__name__} does not find {finding!r}: {sorted(set(rule(broken)) - set(rule(tree)))}")
    assert not missed, "\n".join(missed)


def test_importing_the_package_is_light() -> None:
    """``import cometchat`` loads neither floor 5, nor a library, nor a network module, nor sqlite3."""
    program = "import json, sys; old = set(sys.modules); import cometchat; print(json.dumps([*set(sys.modules) - old]))"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment, timeout=50, check=True
    )
    loaded = set(json.loads(ended.stdout))
    assert "cometchat.client" in loaded
    heavy = {*THIRD_PARTY, "asyncio", "ssl", "socket", "http.client", "sqlite3"}
    assert {name for name in loaded if name in heavy or name.partition(".")[0] in heavy} == set()
    assert {name for name in loaded if name.partition(".")[2].partition(".")[0] in GUESTS} == set()


def main() -> None:
    """Write architecture_known.py."""
    lines = [
        '"""The known breaches of the rules, written by ``python tests/test_architecture.py``."""',
        "",
    ]
    lines += ["from __future__ import annotations", "", "from typing import Dict, Set", ""]
    broken = {rule: found for rule, found in findings().items() if found}
    lines += ["#: Rule -> findings.", "KNOWN: Dict[str, Set[str]] = {" if broken else "KNOWN: Dict[str, Set[str]] = {}"]
    for rule, found in broken.items():
        lines += [
            f"    {json.dumps(rule)}: {{",
            *(f"        {json.dumps(text)}," for text in sorted(found)),
            "    },",
        ]
    lines += ["}"] if broken else []
    Path(__file__).with_name("architecture_known.py").write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
