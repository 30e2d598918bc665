"""The login of a client: its token, its settings, its addresses, and its secrets."""

from __future__ import annotations

from ._account import Account
from ._redaction import Secrets, SecretsFilter, writable
from ._service import lacks
from ._session import LONGEST_TOKEN, Credentials, Owner, Session
from ._shared_settings import SETTINGS

__all__ = [
    "Account",
    "Credentials",
    "LONGEST_TOKEN",
    "Owner",
    "SETTINGS",
    "Secrets",
    "SecretsFilter",
    "Session",
    "lacks",
    "writable",
]
