"""Who to connect as, and where: from options, else from the environment."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from typing import Any, List, Mapping, Optional, Tuple

from cometchat import AppSettings, Client, InvalidArgumentException, User

from ._errors import UsageError


def add_account_options(parser: argparse.ArgumentParser) -> None:
    """Give a command the options that say which account."""
    group = parser.add_argument_group(
        "account",
        "An option goes before its environment variable. Other users of the machine can see options in the list of"
        " processes: prefer the environment for the key and the token.",
    )
    group.add_argument("--app-id", metavar="ID", help="the app's id ($COMETCHAT_APP_ID)")
    group.add_argument("--region", metavar="REGION", help='"us", "eu", "in", ... ($COMETCHAT_REGION)')
    group.add_argument("--uid", metavar="UID", help="the user to log in, with an auth key ($COMETCHAT_UID)")
    secret = group.add_mutually_exclusive_group()
    secret.add_argument("--auth-key", metavar="KEY", help="the app's auth key ($COMETCHAT_AUTH_KEY)")
    secret.add_argument("--auth-token", metavar="TOKEN", help="a user's auth token ($COMETCHAT_AUTH_TOKEN)")
    group.add_argument(
        "--admin-host",
        metavar="HOST",
        help="host[:port][/path] or an address, in place of the app's own ($COMETCHAT_ADMIN_HOST)",
    )
    group.add_argument("--client-host", metavar="HOST", help="the same for the client API ($COMETCHAT_CLIENT_HOST)")
    group.add_argument("--ca-certs", metavar="FILE", help="CA bundle to trust, such as a sandbox's certificate")


@dataclass(frozen=True)
class Account:
    """An app and a credential of one of its users."""

    app_id: str
    region: Optional[str]
    uid: Optional[str]
    auth_key: Optional[str] = field(repr=False)
    auth_token: Optional[str] = field(repr=False)
    hosts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def secrets(self) -> List[str]:
        """What must not be printed."""
        return [secret for secret in (self.auth_key, self.auth_token) if secret]

    @property
    def who(self) -> str:
        """The login in words, without the credential."""
        return "an auth token" if self.auth_token else f"{self.uid}, with an auth key"

    def settings(self, **overrides: Any) -> AppSettings:
        """The settings of a client for this account."""
        return AppSettings(region=self.region, **{**self.hosts, **overrides})

    def login(self, client: Client) -> User:
        """Log the client in."""
        if self.auth_token:
            return client.login_with_auth_token(self.auth_token)
        return client.login(self.uid or "", self.auth_key or "")


def read_account(options: argparse.Namespace, environ: Optional[Mapping[str, str]] = None) -> Account:
    """The account that options and environment name together.

    :raises UsageError: something is missing, or an address is wrong; the message names the option and its variable.
    """
    values = os.environ if environ is None else environ
    app_id = options.app_id or values.get("COMETCHAT_APP_ID")
    region = options.region or values.get("COMETCHAT_REGION") or None
    uid = options.uid or values.get("COMETCHAT_UID") or None
    hosts = {
        "admin_host": options.admin_host or values.get("COMETCHAT_ADMIN_HOST"),
        "client_host": options.client_host or values.get("COMETCHAT_CLIENT_HOST"),
        "ca_certs": options.ca_certs,
    }
    hosts = {name: value for name, value in hosts.items() if value}
    for name in ("admin_host", "client_host"):
        _check_host(name, hosts.get(name))
    auth_key, auth_token = _credential(options, values)
    if not app_id:
        raise UsageError("no app id: give --app-id or set COMETCHAT_APP_ID")
    if not region and not ("admin_host" in hosts and "client_host" in hosts):
        raise UsageError("no region: give --region or set COMETCHAT_REGION, or give --admin-host and --client-host")
    if not auth_key and not auth_token:
        raise UsageError(
            "no credential: give --auth-token or --auth-key, or set COMETCHAT_AUTH_TOKEN or COMETCHAT_AUTH_KEY"
        )
    if auth_key and not uid:
        raise UsageError("an auth key needs a user: give --uid or set COMETCHAT_UID")
    return Account(app_id, region, uid, auth_key, auth_token, hosts)


def _check_host(name: str, address: Any) -> None:
    """Let the settings check an address, and say which option or variable gave a wrong one.

    :raises UsageError: such as for ``htp:/bad``.
    """
    try:
        AppSettings(region="us", **{name: address})
    except InvalidArgumentException as error:
        option, variable = f"--{name.replace('_', '-')}", f"COMETCHAT_{name.upper()}"
        raise UsageError(f"{option} ({variable}): {error.message}") from error


def _credential(options: argparse.Namespace, values: Mapping[str, str]) -> Tuple[Optional[str], Optional[str]]:
    """(auth key, auth token), one of them None. An option goes before the environment; there the token goes first."""
    if options.auth_token:
        return None, str(options.auth_token)
    if options.auth_key:
        return str(options.auth_key), None
    token = values.get("COMETCHAT_AUTH_TOKEN")
    return (None, token) if token else (values.get("COMETCHAT_AUTH_KEY") or None, None)
