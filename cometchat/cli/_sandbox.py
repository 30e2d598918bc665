"""sandbox: run a sandbox, a local stand-in for the service, until Ctrl-C"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import re
import shlex
import ssl
import sys
from typing import TYPE_CHECKING, Any, ContextManager, List, Optional, Sequence

from ._errors import Failed, UsageError, missing_module
from ._log import handled_by
from ._screen import Screen, one_line

if TYPE_CHECKING:
    from cometchat.sandbox import Sandbox

#: The exit code after Ctrl-C and SIGTERM, the normal end of a sandbox.
INTERRUPTED = 0

_USER = "cometchat-uid-1"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
    )
    parser.add_argument("--port", type=_port, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--tls", action="store_true", help="https and wss, with a self-signed certificate made for it")
    parser.add_argument("--certfile", metavar="FILE", help="PEM certificate to use instead; with --keyfile")
    parser.add_argument("--keyfile", metavar="FILE", help="its PEM key")
    parser.add_argument("--data", metavar="FOLDER", help="keep the state here, through restarts (default: in memory)")
    parser.add_argument("--sample", action="store_true", help="fill a new state with groups and a history")
    parser.add_argument("--seed", metavar="FILE", help="fill a new state from JSON: users, groups and messages")
    parser.add_argument(
        "--webhook", metavar="URL", help="URL that gets the service's webhook events; user:password@ for Basic Auth"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    if (options.certfile is None) != (options.keyfile is None):
        raise UsageError("--certfile and --keyfile must be used together")
    sandbox = _prepare(options)
    try:
        sandbox.start()
    except ssl.SSLError as error:
        files = f"{options.certfile}, {options.keyfile}"
        problem = error.reason or "no PEM certificate and its key"
        raise Failed(f"--certfile, --keyfile: {files} can't be used: {problem}") from error
    except OSError as error:
        reason = getattr(error, "strerror", None) or error
        raise Failed(f"can't serve on {options.host}, port {options.port}: {reason}") from error
    with _warnings_shown(already=options.debug):
        try:
            _introduce(Screen(plain=options.no_color), sandbox, options.data)
            sandbox.serve_forever()
        finally:
            sandbox.stop()
    return 0


def _prepare(options: argparse.Namespace) -> Sandbox:
    """Make the sandbox, and fill it if its state is new."""
    files = {"certfile": options.certfile, "keyfile": options.keyfile}
    for name, path in files.items():
        _check_readable(f"--{name}", path)
    seed = None if options.seed is None else _read_seed(options.seed)
    try:
        sandbox = make_sandbox(
            options.host, options.port, tls=options.tls, webhook_url=options.webhook, data=options.data, **files
        )
    except ValueError as error:
        raise UsageError(str(error).replace("webhook_url", "--webhook")) from error
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
        # Without --data the error is about the folder for temporary files: --tls needs one for the certificate.
        raise Failed(f"--data: {reason}" if options.data is not None else str(reason)) from error
    if options.sample:
        from cometchat.sandbox import SAMPLE

        sandbox.fill(SAMPLE)
    if seed is not None:
        try:
            sandbox.fill(seed)
        except (KeyError, ValueError) as error:
            raise UsageError(f"{options.seed}: {error.args[0]}") from error
    return sandbox


def _read_seed(path: str) -> Any:
    _check_readable("--seed", path)
    try:
        with open(path, encoding="utf-8-sig") as file:  # some editors of Windows put a mark at the beginning
            seed = json.load(file)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(seed, dict):
        raise UsageError(f"{path} must be a JSON object with users, groups and messages")
    return seed


class _OneLine(logging.Formatter):
    """Formats a warning as one line, with its exception but without a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        error = record.exc_info[1] if record.exc_info else None
        return one_line(f"cometchat sandbox: {record.getMessage()}" + (f": {error}" if error else ""))


def _warnings_shown(already: bool) -> ContextManager[None]:
    """Print the sandbox's warnings, such as an event that the webhook's receiver did not take."""
    output = logging.StreamHandler(sys.stderr)
    output.setLevel(logging.WARNING)
    output.setFormatter(_OneLine())
    return contextlib.nullcontext() if already else handled_by(output, "cometchat.sandbox")


def make_sandbox(*args: Any, **options: Any) -> Sandbox:
    """Create a sandbox without starting it.

    :raises UsageError: the packages that it needs are not installed.
    """
    try:
        from cometchat.sandbox import Sandbox

        return Sandbox(*args, **options)
    except ImportError as error:
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        raise UsageError(missing_module(cause, "[sandbox]")) from error


def _introduce(screen: Screen, sandbox: Sandbox, data: Optional[str]) -> None:
    screen.line("The sandbox listens on ", (sandbox.url, "title"), ". Open that page to see it work. Ctrl-C ends it.")
    screen.line()
    screen.line("  app id     ", (sandbox.app_id, "call"))
    screen.line("  auth key   ", (sandbox.auth_key, "call"))
    screen.line("  users      ", ("cometchat-uid-1", "call"), " to ", ("cometchat-uid-5", "call"))
    if sandbox.ca_certs:
        screen.line("  CA file    ", (sandbox.ca_certs, "call"))
    if data is not None:
        screen.line("  data       ", (data, "call"), f", {len(sandbox.messages)} messages")
    screen.line()
    screen.line("Watch a connection to it from another terminal:")
    screen.line()
    screen.line("  " + watch_command(sandbox))
    screen.line()
    screen.line("Or, for every command and the examples:")
    screen.line()
    for text in shell_lines(sandbox):
        screen.line("  " + text)
    screen.line()
    screen.line("Or connect from Python:")
    screen.line()
    for text in snippet(sandbox):
        screen.line("  " + text if text else "")
    screen.line()


def watch_command(sandbox: Sandbox) -> str:
    """Return the shell command that watches a connection to the sandbox."""
    words = [sys.executable, "-m", "cometchat", "watch", "--app-id", sandbox.app_id, "--uid", _USER]
    words += ["--auth-key", sandbox.auth_key, "--admin-host", sandbox.url, "--client-host", sandbox.url]
    if sandbox.ca_certs:
        words += ["--ca-certs", sandbox.ca_certs]
    return _command(words)


def shell_lines(sandbox: Sandbox) -> List[str]:
    """Return shell commands that export the sandbox's account, and commands that use it."""
    values = {"APP_ID": sandbox.app_id, "UID": _USER, "AUTH_KEY": sandbox.auth_key}
    values.update({"ADMIN_HOST": sandbox.url, "CLIENT_HOST": sandbox.url})
    if sandbox.ca_certs:
        values["CA_CERTS"] = sandbox.ca_certs
    if sys.platform == "win32":
        exports = [f"$env:COMETCHAT_{name} = {_in_quotes(value)}" for name, value in values.items()]
    else:
        words = [_quoted(f"COMETCHAT_{name}={value}") for name, value in values.items()]
        exports = ["export " + " ".join(words[:3]), "export " + " ".join(words[3:])]
    run = [sys.executable, "-m", "cometchat"]
    return [
        *exports,
        _command([*run, "watch", "--events"]),
        _command([*run, "send", "--to", "cometchat-uid-2", "--text", "Hello"]),
    ]


def _command(words: Sequence[str]) -> str:
    """Return a command for the shell; on Windows for PowerShell, which would only print a program in quotes."""
    return ("& " if sys.platform == "win32" else "") + " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    if sys.platform == "win32":
        return word if re.fullmatch(r"[\w.:/\\-]+", word) else _in_quotes(word)
    return shlex.quote(word)


def _in_quotes(word: str) -> str:
    """Return a word in PowerShell's quotes."""
    return "'" + word.replace("'", "''") + "'"


def snippet(sandbox: Sandbox) -> List[str]:
    """Return the lines of a Python program that connects to the sandbox."""
    trust = f", ca_certs={sandbox.ca_certs!r}" if sandbox.ca_certs else ""
    return [
        "from cometchat import AppSettings, CometChat",
        "",
        f"url = {sandbox.url!r}",
        f"CometChat.init({sandbox.app_id!r}, AppSettings(admin_host=url, client_host=url{trust}))",
        f"CometChat.login({_USER!r}, {sandbox.auth_key!r})",
        "CometChat.connect()",
        "print(CometChat.get_connection_status())",
    ]


def _check_readable(option: str, path: Optional[str]) -> None:
    if path is None:
        return
    try:
        open(path, "rb").close()
    except OSError as error:
        raise UsageError(f"{option}: {path} can't be read: {error.strerror}") from error


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= 65535):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)
