"""``manage.py cometchat watch|doctor|status``: the SDK's command line, with the account of the site's settings.

The commands run in this process, so that ``ps`` shows no credential.
"""

from __future__ import annotations

import contextlib
import sys
from argparse import ArgumentParser
from typing import Any, List, Mapping

from django.core.management.base import BaseCommand, CommandError

from ....web._commands import run
from ... import _conf


class Command(BaseCommand):
    """Each action logs in and connects separately from the running site."""

    help = "Watch the connection, test each step of it, or test whether it can be made, with the site's settings."
    requires_system_checks: List[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the actions, with the options of the SDK's command line."""
        actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
        watch = actions.add_parser("watch", help="the live status, one line per transition")
        watch.add_argument(
            "--events", action="store_true", help="messages, presence, typing, receipts and the rest, too"
        )
        watch.add_argument("--json", action="store_true", help="one JSON object per line, times in UTC")
        watch.add_argument("--until", metavar="STATUS", help="exit with 0 at this status: connected, connecting, ...")
        watch.add_argument(
            "--timeout", metavar="SECONDS", help="with --until: exit with 1 if it is not reached in time"
        )
        doctor = actions.add_parser("doctor", help="each step from DNS to ping; explains the first failure")
        doctor.add_argument("--json", action="store_true", help="one JSON object")
        doctor.add_argument("--timeout", metavar="SECONDS", help="limit for each step (default: 10)")
        status = actions.add_parser("status", help="exit code 0 once connected, 1 if it takes longer than the timeout")
        status.add_argument("--timeout", metavar="SECONDS", default="10", help="the time (default: 10)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the action, and end with its exit code."""
        configuration, problems = _conf.examine()
        if configuration is None:
            raise CommandError(_conf.complaint(problems), returncode=2)
        # The command line expects None for a stream that the shell closed. Django wraps that, too.
        out: Any = self.stdout if options.get("stdout") or sys.stdout else None
        err: Any = self.stderr if options.get("stderr") or sys.stderr else None
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(configuration, _arguments(options))
        if code:
            sys.exit(code)


def _arguments(options: Mapping[str, Any]) -> List[str]:
    """Return the arguments for the SDK's command line."""
    action = options["action"]
    arguments = ["watch", "--until=connected"] if action == "status" else [action]
    arguments += [f"--{name}" for name in ("events", "json") if options.get(name)]
    arguments += [f"--{name}={options[name]}" for name in ("until", "timeout") if options.get(name) is not None]
    arguments += ["--no-color"] if options["no_color"] else []
    return arguments + (["--debug"] if options["verbosity"] > 2 else [])
