"""The account and the addresses for a command, from options, else from the environment."""

from __future__ import annotations

import argparse
import contextlib
import os
import threading
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

from cometchat import AppSettings, Client, CometChatException, InvalidArgumentException, User
from cometchat._environment import SERVICE, read_fields
from cometchat.exceptions import invalid_value

from ._errors import UsageError, checked_text

#: Maximum wait for a logout at the end of a command, in seconds.
_PATIENCE = 2.0

#: Prefix of the environment variables.
_PREFIX = "COMETCHAT_"


def add_account_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the account to a command."""
    group = parser.add_argument_group(
        "account",
        "An option takes precedence over its environment variable. Other users of the machine can see options in"
        " the process list: prefer the environment for the key and the token.",
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
        help="host[:port][/path] or a URL that replaces the app's admin API ($COMETCHAT_ADMIN_HOST)",
    )
    group.add_argument("--client-host", metavar="HOST", help="the same for the client API ($COMETCHAT_CLIENT_HOST)")
    group.add_argument(
        "--ca-certs", metavar="FILE", help="CA bundle to trust, such as a sandbox's certificate ($COMETCHAT_CA_CERTS)"
    )


@dataclass(frozen=True)
class Account:
    """An app and a credential of one of its users.

    :ivar uid: the user; with an auth token, None accepts any user.
    :ivar fields: of AppSettings, beside the region.
    """

    app_id: str
    region: Optional[str]
    uid: Optional[str]
    auth_key: Optional[str] = field(repr=False)
    auth_token: Optional[str] = field(repr=False)
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def secrets(self) -> List[str]:
        """The texts that must not be printed."""
        return [secret for secret in (self.auth_key, self.auth_token) if secret]

    @property
    def who(self) -> str:
        """The login in words, without the credential."""
        return "an auth token" if self.auth_token else f"{self.uid}, with an auth key"

    def settings(self, **overrides: Any) -> AppSettings:
        """Return the settings of a client for this account."""
        return AppSettings(region=self.region, **{**self.fields, **overrides})

    def login(self, client: Client) -> User:
        """Log the client in.

        :raises InvalidArgumentException: see :meth:`check`.
        """
        if not self.auth_token:
            return client.login(self.uid or "", self.auth_key or "")
        user = client.login_with_auth_token(self.auth_token)
        self.check(user)
        return user

    def log_out(self, client: Client) -> None:
        """Void the auth token that :meth:`login` has made: the service keeps only the newest ones of a user.

        Without it, commands that run again and again would end the login of the user's programs. No-op with an auth
        token that the user gave. Waits for at most two seconds.
        """
        if self.auth_token or client.get_logged_in_user() is None:
            return
        thread = threading.Thread(target=_log_out, args=(client,), name="logout", daemon=True)
        thread.start()
        thread.join(_PATIENCE)

    def check(self, user: User) -> None:
        """Check that the logged-in user is the wanted one.

        :raises InvalidArgumentException: ``INVALID_UID``: the auth token is of another user.
        """
        if self.uid and user.uid != self.uid.lower():
            raise invalid_value("uid", f"{user.uid}, whose auth token is given", self.uid)


def _log_out(client: Client) -> None:
    with contextlib.suppress(CometChatException):  # the command has ended, and its result is known
        client.logout()


def read_account(options: argparse.Namespace) -> Account:
    """Return the account from the options and the environment.

    :raises UsageError: a value is missing or wrong. The message names the option and its variable.
    """
    app_id = options.app_id or os.environ.get("COMETCHAT_APP_ID")
    fields = _fields(options)
    region = fields.pop("region", None)
    auth_key, auth_token = _credential(options)
    uid = options.uid or (os.environ.get("COMETCHAT_UID") if auth_key else None) or None
    if not app_id:
        raise UsageError("missing app id: use --app-id or set COMETCHAT_APP_ID")
    if not region and not ("admin_host" in fields and "client_host" in fields):
        raise UsageError("missing region: use --region or set COMETCHAT_REGION, or use --admin-host and --client-host")
    if not auth_key and not auth_token:
        raise UsageError(
            "missing credential: use --auth-token or --auth-key, or set COMETCHAT_AUTH_TOKEN or COMETCHAT_AUTH_KEY"
        )
    if auth_key and not uid:
        raise UsageError("missing user for the auth key: use --uid or set COMETCHAT_UID")
    for name, value in (("app id", app_id), ("uid", uid or "")):
        checked_text(value, name)
    return Account(app_id, region, uid, auth_key, auth_token, fields)


def _fields(options: argparse.Namespace) -> Dict[str, Any]:
    """Return the fields of AppSettings from the options and the environment.

    :raises UsageError: an address or a timeout is wrong, such as ``--admin-host htp:/bad``.
    """
    try:
        fields = read_fields(os.environ, _PREFIX, SERVICE)
    except InvalidArgumentException as error:
        raise UsageError(error.message) from error
    for name in ("region", "admin_host", "client_host", "ca_certs"):
        if getattr(options, name):
            fields[name] = getattr(options, name)
    for name in fields.keys() - {"region"}:  # ``doctor`` explains this one better
        _check_field(name, fields[name], given=getattr(options, name, None))
    return fields


def _check_field(name: str, value: Any, given: Optional[str]) -> None:
    """Check a value with AppSettings. The error names the option or variable."""
    try:
        AppSettings(**{"region": "us", name: value})
    except InvalidArgumentException as error:
        option, variable = f"--{name.replace('_', '-')}", _PREFIX + name.upper()
        where = f"{option} ({variable})" if given else variable
        raise UsageError(f"{where}: {error.message}") from error


def _credential(options: argparse.Namespace) -> Tuple[Optional[str], Optional[str]]:
    """Return (auth key, auth token), one of them None.

    Options take precedence, then the environment: its token, but with ``--uid`` first its key.
    """
    if options.auth_token:
        return None, str(options.auth_token)
    if options.auth_key:
        return str(options.auth_key), None
    key, token = os.environ.get("COMETCHAT_AUTH_KEY") or None, os.environ.get("COMETCHAT_AUTH_TOKEN") or None
    return (key, None) if key and (options.uid or not token) else (None, token)
