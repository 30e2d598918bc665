"""Reads the command line, runs the command, and reports its end.

Exit codes: 0 success, 1 not connected or failed, 2 wrong usage. An error is one line on standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import logging
import os
import re
import signal
import sys
import threading
import traceback
from typing import ContextManager, Iterator, List, NoReturn, Optional, Sequence, TextIO, cast

from cometchat import CometChatException, InvalidArgumentException, __version__

from . import _demo, _doctor, _redis, _sandbox, _send, _watch
from ._errors import Failed, UsageError, missing_module
from ._log import handled_by
from ._screen import forget, hide, is_closed_pipe, one_line, print_error, unwritable, visible

FINE, FAILED, WRONG_USAGE = 0, 1, 2

#: The signals that end a command like Ctrl-C. SIGHUP means that its terminal was closed; Windows has no SIGHUP.
_ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

_COMMANDS = (_demo, _doctor, _watch, _send, _sandbox, _redis)


def run_command_line(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code.

    :param argv: the arguments; default: the process's.
    """
    with _closed_streams_replaced():
        try:
            options = _parse(sys.argv[1:] if argv is None else list(argv))
        except SystemExit as stop:  # argparse printed the help (0) or the error (2)
            return _flushed(stop.code if isinstance(stop.code, int) else FAILED)
        return _flushed(_run(options))


def _run(options: argparse.Namespace) -> int:
    with _log_shown(options.debug), _end_like_interrupt():
        try:
            return int(options.run(options))
        except KeyboardInterrupt:
            return int(options.interrupted)
        except BrokenPipeError:  # the reader of the output closed the pipe
            forget(sys.stdout)
            return int(options.interrupted)
        except Exception as error:
            return _report(options, error)


def _flushed(code: int) -> int:
    """Write the rest of the output. Returns the exit code; FAILED if the output can't be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        forget(sys.stdout)
        if code == FINE and not is_closed_pipe(error):
            print_error(f"cometchat: {unwritable(error)}")
            return FAILED
    return code


class _Parser(argparse.ArgumentParser):
    """argparse with one-line errors that quote no value, since a mistyped option's value may be a secret."""

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"invalid choice: (.+) \(choose from ([^()]*)\)$", _choices, one_line(message))
        message = re.sub(r"(invalid \w+ value|ignored explicit argument):? .*", r"\1", message)
        print_error(f"{self.prog}: {message} (see {self.prog} --help)")
        raise SystemExit(WRONG_USAGE)

    def parse(self, argv: List[str]) -> argparse.Namespace:
        options, unknown = self.parse_known_args(argv)
        if unknown:
            words = [word for word in unknown if word.startswith("-")]
            # Of "-kVALUE" only "-k".
            names = [word.split("=", 1)[0] if word.startswith("--") else word[:2] for word in words]
            _parser_of(options, self).error(f"unknown option {' '.join(names)}" if names else "too many arguments")
        for word in argv:
            option = word.partition("=")[0]
            # An unset shell variable is neither the environment's value, such as another user, nor a default.
            if option.startswith("--") and getattr(options, option[2:].replace("-", "_"), None) == "":
                _parser_of(options, self).error(f"{option} is empty: give it a value, or leave it out")
        return options


def _parser_of(options: argparse.Namespace, main: _Parser) -> _Parser:
    """Return the parser of the command, so that the error names the command."""
    return main if options.command is None else cast(_Parser, options.parser)


def _choices(found: re.Match[str]) -> str:
    """Name the choices, and the most similar one."""
    typed = found[1][1:].partition(found[1][0])[0]  # the message quotes it
    choices = re.findall(r"[\w-]+", found[2])
    alike = difflib.get_close_matches(typed, choices, n=1)
    return f"no such choice{f', did you mean {alike[0]}?' if alike else ''} (choose from {', '.join(choices)})"


def _parse(argv: List[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="cometchat",
        description="CometChat's real-time service on the command line.",
        epilog="exit codes: 0 success, 1 not connected or failed, 2 wrong usage",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"cometchat {__version__}")
    _add_common_options(parser, default=False)
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    for command in _COMMANDS:
        name = command.__name__.rpartition("._")[2]
        summary = (command.__doc__ or "").partition("\n")[0].partition(": ")[2]
        sub = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        command.add_options(sub)
        _add_common_options(sub, default=argparse.SUPPRESS)  # a default would replace the option before the command
        sub.set_defaults(run=command.run, interrupted=command.INTERRUPTED, parser=sub)
    _complete(parser)
    options = parser.parse(argv)
    if options.command is None:
        parser.error(f"missing command (choose from {', '.join(commands.choices)})")
    return options


def _complete(parser: argparse.ArgumentParser) -> None:
    """Print the completions of a command line, and exit. No-op unless the shell asks for them."""
    if "_ARGCOMPLETE" not in os.environ:  # so that other starts need no import
        return
    with contextlib.suppress(ImportError):
        import argcomplete

        argcomplete.autocomplete(parser)


def _add_common_options(parser: argparse.ArgumentParser, default: object) -> None:
    """Add the options that may stand before or after the command."""
    for name, effect in (
        ("--no-color", "turn colours off, like $NO_COLOR ($FORCE_COLOR turns them on)"),
        ("--debug", "show the SDK's log and the traceback of an error"),
    ):
        parser.add_argument(name, action="store_true", default=default, help=effect)


def _report(options: argparse.Namespace, error: Exception) -> int:
    secrets = [getattr(options, name, None) or "" for name in ("auth_key", "auth_token")]
    secrets += [os.environ.get(name, "") for name in ("COMETCHAT_AUTH_KEY", "COMETCHAT_AUTH_TOKEN")]
    if options.debug:
        print_error("\n".join(map(visible, hide(traceback.format_exc(), secrets).splitlines())))
    usage = isinstance(error, (UsageError, InvalidArgumentException))
    if isinstance(error, ImportError):
        error = Failed(missing_module(error))
    known = usage or isinstance(error, (CometChatException, Failed))
    text = str(error) if known else f"unexpected {type(error).__name__}: {error} (--debug shows more)"
    print_error(f"cometchat {options.command}: {hide(one_line(text), secrets)}")
    return WRONG_USAGE if usage else FAILED


@contextlib.contextmanager
def _closed_streams_replaced() -> Iterator[None]:
    """Discard the output for a stream that the shell closed. (Python sets such a stream to None.)"""
    with contextlib.ExitStack() as stack:
        if sys.stdout is None:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(_nowhere())))
        if sys.stderr is None:
            stack.enter_context(contextlib.redirect_stderr(stack.enter_context(_nowhere())))
        yield


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


@contextlib.contextmanager
def _end_like_interrupt() -> Iterator[None]:
    """Make some signals end a command like Ctrl-C, with its clean-up and its exit code.

    A signal that is ignored stays ignored, such as SIGHUP under ``nohup``.
    """
    if threading.current_thread() is not threading.main_thread():  # signals can be set only there
        yield
        return
    before = {signum: signal.getsignal(signum) for signum in _ENDS}
    try:
        for signum, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(signum, _interrupt)
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _interrupt(signum: int, frame: object) -> NoReturn:
    # The shell and the kernel may both send SIGHUP, and SIGTERM may follow. They must not interrupt the clean-up.
    for each in _ENDS:
        if signal.getsignal(each) is _interrupt:
            # Not SIG_IGN: Python would complain about a signal that has arrived already.
            signal.signal(each, lambda signum, frame: None)
    raise KeyboardInterrupt


def _log_shown(wanted: bool) -> ContextManager[None]:
    """Show the SDK's log on request. Otherwise hide its warnings, since the command prints errors itself."""
    output: logging.Handler = logging.StreamHandler(sys.stderr) if wanted else logging.NullHandler()
    output.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s"))
    return handled_by(output, "cometchat", logging.DEBUG if wanted else None)
