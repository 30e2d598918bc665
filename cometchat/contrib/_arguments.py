"""The argument ``client`` of the integrations."""

from __future__ import annotations

from typing import Type, Union

from cometchat import Client, CometChat
from cometchat.exceptions import unusable

#: A client, or the class of the process's shared client.
AnyClient = Union[Client, Type[CometChat]]


def check_client(client: object) -> None:
    """Check that an argument is a client.

    :raises InvalidArgumentException: ``INVALID_CLIENT``.
    """
    if not isinstance(client, Client) and client is not CometChat:
        raise unusable("client", f"a Client or the class CometChat, got {type(client).__name__}")
