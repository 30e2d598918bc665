"""The command line: ``python -m cometchat`` or ``cometchat``. A file a command; only the SDK's public names are used.

Exit codes: 0 fine, 1 not connected or failed, 2 wrong usage. An error is one line on standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import signal
import sys
import threading
from typing import Iterator, List, NoReturn, Optional, Sequence

from cometchat import CometChatException, InvalidArgumentException, __version__

from . import demo, doctor, sandbox, send, watch
from .errors import Failed, UsageError
from .screen import hide, one_line

__all__ = ["main"]

FINE, FAILED, WRONG_USAGE = 0, 1, 2

_COMMANDS = (demo, doctor, watch, send, sandbox)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code.

    :param argv: the arguments; default: the process's.
    """
    try:
        options = _parse(sys.argv[1:] if argv is None else list(argv))
    except SystemExit as stop:  # argparse has printed the help (0) or the error (2)
        return stop.code if isinstance(stop.code, int) else FAILED
    with _log_shown(options.debug), _terminate_like_interrupt():
        try:
            return int(options.run(options))
        except KeyboardInterrupt:
            return int(options.interrupted)
        except BrokenPipeError:  # the reader of our output has seen enough
            _forget_output()
            return int(options.interrupted)
        except Exception as error:
            if options.debug:
                raise
            return _report(options, error)


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line, which quote no value: it may be a mistyped option's secret."""

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"invalid choice: .*? \(choose", "no such choice (choose", one_line(message))
        self.exit(WRONG_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def parse(self, argv: List[str]) -> argparse.Namespace:
        options, unknown = self.parse_known_args(argv)
        if unknown:
            names = [word.split("=", 1)[0] for word in unknown if word.startswith("-")]
            self.error(f"unknown option {' '.join(names)}" if names else "too many arguments")
        return options


def _parse(argv: List[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="cometchat",
        description="CometChat's real-time service on the command line.",
        epilog="exit codes: 0 fine, 1 not connected or failed, 2 wrong usage",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"cometchat {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for command in _COMMANDS:
        name = command.__name__.rpartition(".")[2]
        summary = (command.__doc__ or "").partition("\n")[0].partition(": ")[2]
        sub = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        command.add_options(sub)
        sub.add_argument("--debug", action="store_true", help="show the SDK's log and the traceback of an error")
        sub.set_defaults(run=command.run, interrupted=command.INTERRUPTED)
    return parser.parse(argv)


def _report(options: argparse.Namespace, error: Exception) -> int:
    usage = isinstance(error, (UsageError, InvalidArgumentException))
    known = usage or isinstance(error, (CometChatException, Failed))
    text = str(error) if known else f"unexpected {type(error).__name__}: {error} (--debug shows more)"
    secrets = [getattr(options, name, None) or "" for name in ("auth_key", "auth_token")]
    secrets += [os.environ.get(name, "") for name in ("COMETCHAT_AUTH_KEY", "COMETCHAT_AUTH_TOKEN")]
    text = hide(one_line(text), secrets)
    with contextlib.suppress(BrokenPipeError):
        print(f"cometchat {options.command}: {text}", file=sys.stderr, flush=True)
    return WRONG_USAGE if usage else FAILED


@contextlib.contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: with its clean-up, and its own exit code."""
    if threading.current_thread() is not threading.main_thread():  # only there may signals be set
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _log_shown(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    logger = logging.getLogger("cometchat")
    level, output = logger.level, logging.StreamHandler(sys.stderr)
    output.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s"))
    logger.addHandler(output)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(output)


def _forget_output() -> None:
    """Keep Python from complaining, at its end, that it can't flush standard output."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
