"""``manage.py cometchat watch|doctor|status``: the SDK's command line, as the user of the site's settings.

The commands run in this process, so that no credential stands where ``ps`` shows it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import ArgumentParser
from typing import Any, Iterator, List, Mapping

from django.core.management.base import BaseCommand, CommandError

from cometchat.cli import main

from ... import conf


class Command(BaseCommand):
    """Each action logs in and connects by itself: a running site is not asked, nor disturbed."""

    help = "Watch the connection, examine each step of it, or tell whether it can be made, with the site's settings."
    requires_system_checks: List[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The actions, with the options of the SDK's own."""
        actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
        watch = actions.add_parser("watch", help="the live status, one line a transition")
        watch.add_argument(
            "--events", action="store_true", help="messages, presence, typing, receipts and the rest, too"
        )
        watch.add_argument("--json", action="store_true", help="one JSON object a line, times in UTC")
        watch.add_argument("--until", metavar="STATUS", help="end, with 0, at: connected, connecting, ...")
        watch.add_argument(
            "--timeout", metavar="SECONDS", help="with --until: end, with 1, when it is not reached by then"
        )
        doctor = actions.add_parser("doctor", help="each step from DNS to ping; explains the first failure")
        doctor.add_argument("--timeout", metavar="SECONDS", help="limit for each step (default: 10)")
        status = actions.add_parser("status", help="exit code 0 once connected, 1 where it is not within the time")
        status.add_argument("--timeout", metavar="SECONDS", default="10", help="the time (default: 10)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the action, and end with its exit code."""
        configuration, problems = conf.examine(conf.given())
        if configuration is None:
            raise CommandError(conf.complaint(problems), returncode=2)
        out: Any = self.stdout
        err: Any = self.stderr
        with _settings_alone(configuration), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(_arguments(configuration, options))
        if code:
            sys.exit(code)


def _arguments(configuration: conf.Configuration, options: Mapping[str, Any]) -> List[str]:
    """The command line of :func:`cometchat.cli.main`: it is nobody's but this process's."""
    action = options["action"]
    arguments = ["watch", "--until=connected"] if action == "status" else [action]
    arguments += [f"--{name}" for name in ("events", "json") if options.get(name)]
    arguments += [f"--{name}={options[name]}" for name in ("until", "timeout") if options.get(name) is not None]
    arguments += ["--debug"] if options["verbosity"] > 2 else []
    token = configuration.auth_token
    given = {
        "app-id": configuration.app_id,
        "region": configuration.settings.region,
        "uid": configuration.uid,
        "auth-key": configuration.auth_key,
        "auth-token": token() if callable(token) else token,
        "admin-host": configuration.settings.admin_host,
        "client-host": configuration.settings.client_host,
        "ca-certs": configuration.settings.ca_certs,
    }
    return arguments + [f"--{name}={value}" for name, value in given.items() if value is not None]


@contextlib.contextmanager
def _settings_alone(configuration: conf.Configuration) -> Iterator[None]:
    """No account of the environment's beside the settings' own; and the settings' proxies."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("COMETCHAT_")]:
        del os.environ[name]
    for scheme, address in (configuration.settings.proxies or {}).items():
        os.environ[f"{scheme}_proxy"] = address
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
