"""The command line: ``python -m cometchat`` or ``cometchat``. One file per command."""

from __future__ import annotations

from typing import Optional, Sequence

__all__ = ["main"]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code.

    :param argv: the arguments; default: the process's.
    """
    try:
        # Here, so that Ctrl-C while the commands load is not a traceback.
        from ._main import run_command_line
    except KeyboardInterrupt:
        return 1
    return run_command_line(argv)
