"""Draw the state diagram from the table in ``cometchat/_protocol/_states.py``.

``python docs/make_state_diagram.py`` rewrites ``states.dot`` and, with Graphviz's ``dot`` here, ``states.svg``.
A test holds that both belong to the table as it is.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from cometchat._protocol._states import STATUS, TRANSITIONS, CometChatWSState, Phase, Signal  # noqa: E402

COLOURS = {
    CometChatWSState.DISCONNECTED: "#f4d6d2",
    CometChatWSState.CONNECTING: "#fbeec2",
    CometChatWSState.CONNECTED: "#d3ecd3",
    CometChatWSState.FEATURE_THROTTLED: "#d6e4f5",
}

#: In every phase but CLOSED: said once below the drawing, since drawn they would hide the rest.
EVERYWHERE = (Signal.DISCONNECT, Signal.CLOSE, Signal.LOGGED_OUT)


def dot() -> str:
    """Return the diagram in Graphviz's language."""
    lines = [
        "digraph connection {",
        '  graph [rankdir=TB, fontname="Helvetica", labelloc=b, fontsize=11,',
        '    label="In every phase but closed: DISCONNECT leads to idle, CLOSE to closed; CONNECT elsewhere changes'
        ' nothing. From all but idle and closed, LOGGED_OUT leads to idle.\\nColours are the public status."];',
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=12];',
        '  edge [fontname="Helvetica", fontsize=9];',
    ]
    for phase in Phase:
        status = STATUS[phase]
        lines.append(f'  {phase.name} [label="{phase.value}\\n({status})", fillcolor="{COLOURS[status]}"];')
    for (phase, signal), new in TRANSITIONS.items():
        if signal not in EVERYWHERE and new is not phase:
            lines.append(f'  {phase.name} -> {new.name} [label="{signal.name}"];')
    return "\n".join([*lines, "}", ""])


def digest(text: str) -> str:
    """Return a digest of the text, which the picture contains too."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main() -> int:
    """Rewrite the files."""
    text = dot()
    (HERE / "states.dot").write_text(text, encoding="utf-8")
    if shutil.which("dot") is None:
        print("states.dot written; for states.svg install Graphviz", file=sys.stderr)
        return 1
    svg = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=True).stdout
    (HERE / "states.svg").write_text(svg.rstrip() + f"\n<!-- states.dot {digest(text)} -->\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
