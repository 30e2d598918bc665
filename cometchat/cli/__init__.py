"""The command line: ``python -m cometchat`` or ``cometchat``. One file per command."""

from __future__ import annotations

import sys
from typing import Optional, Sequence

from ._errors import missing_module

__all__ = ["main"]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code.

    :param argv: the arguments; default: the process's.
    """
    try:
        try:
            # Here, so that Ctrl-C while the commands load is not a traceback.
            from ._main import run_command_line
        except ImportError as error:  # commands need ssl even for the help
            print(f"cometchat: {missing_module(error)}", file=sys.stderr)
            return 1
        return run_command_line(argv)
    except KeyboardInterrupt:  # before the command runs, or a second one after its end
        return 1
