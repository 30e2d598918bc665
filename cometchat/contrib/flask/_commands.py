"""The commands of ``flask cometchat``."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import replace
from typing import Tuple

import click
from flask.cli import AppGroup

from cometchat import Client, CometChatException

from ..web._commands import run
from ..web._report import UP, status_report
from ..web._settings import Configuration, token_error


def commands(configuration: Configuration) -> AppGroup:
    group = AppGroup("cometchat", help="CometChat's connection, with the application's settings.")
    passed_on = {"ignore_unknown_options": True}

    @group.command("watch", context_settings=passed_on, add_help_option=False, with_appcontext=False)
    @click.argument("args", nargs=-1, type=click.UNPROCESSED)
    def watch(args: Tuple[str, ...]) -> None:
        """Show the live status, one line per transition (see --help)."""
        sys.exit(run(configuration, ["watch", *args]))

    @group.command("doctor", context_settings=passed_on, add_help_option=False, with_appcontext=False)
    @click.argument("args", nargs=-1, type=click.UNPROCESSED)
    def doctor(args: Tuple[str, ...]) -> None:
        """Check every step from DNS to ping, and explain the first failure (see --help)."""
        sys.exit(run(configuration, ["doctor", *args]))

    @group.command("status", with_appcontext=False)
    @click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait for the connection.")
    def status(timeout: float) -> None:
        """Connect once and print the status as JSON; exit code 1: not connected."""
        failed = None
        # Not the files of the running site: this user may be another one, and the outbox would send.
        settings = replace(configuration.settings, session_store=None, inbox_path=None, outbox_path=None)
        with Client(configuration.app_id, settings) as client:
            try:
                configuration.log_in(client)
                client.connect(timeout)
            except Exception as error:
                known = token_error(error)
                click.echo(str(known), err=True)
                failed = {"code": known.code, "message": known.message}
            report = status_report(client)
            report["reason"] = report["reason"] or failed  # the client does not know the error of a refused login
            if configuration.auth_key:  # the login has made an auth token, and the service keeps only the newest ones
                with contextlib.suppress(CometChatException):
                    client.logout()
        click.echo(json.dumps(report))
        sys.exit(0 if report["status"] in UP else 1)

    return group
