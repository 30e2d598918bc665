"""Arguments and settings: a member of a str enum counts as its value wherever a string is allowed."""

from __future__ import annotations

import enum
import json
import pickle
from pathlib import Path
from typing import Any, Callable, Dict

from rows import each_row

from cometchat import AppSettings, Client, FileSessionStore, TextMessage
from cometchat._runtime import _arguments as arguments


class Name(str, enum.Enum):
    """Its str() is ``Name.AMY`` in some versions of Python."""

    AMY = "amy"
    USER = "user"
    HOST = "chat.example:8080/x"
    REGION = "eu"
    KEY = "https"
    PROXY = "http://proxy:3128"
    ROLES = "ROLES"
    BAD = "b\u00e4d"


CHECKS: Dict[str, Callable[[Any], Any]] = {
    "text": lambda value: arguments.text("uid", value, "give a uid"),
    "header": lambda value: arguments.header("auth_key", value, "give a key"),
    "app_id": lambda value: arguments.app_id(value, True),
    "listener_id": arguments.listener_id,
    "receiver_id": lambda value: arguments.receiver(value, "user")[0],
}


@each_row("name", sorted(CHECKS))
def test_a_member_of_an_enum_counts_as_its_value(name: str) -> None:
    """The result is a plain string, so that no later code can write ``Name.AMY``."""
    checked = CHECKS[name](Name.AMY)
    assert (type(checked), checked) == (str, "amy")


def test_a_choice_takes_a_member() -> None:
    """The receiver's type may be a member, too."""
    kind = arguments.receiver("u", Name.USER)[1]
    assert (type(kind), f"{kind}") == (str, "user")


def test_the_settings_keep_plain_strings(tmp_path: Path) -> None:
    """Each field with a string, or strings, has plain ones."""
    settings = AppSettings(
        region=Name.REGION,
        admin_host=Name.HOST,
        client_host=Name.HOST,
        subscription_type=Name.ROLES,
        roles=[Name.AMY],
        proxies={Name.KEY: Name.PROXY},
    )
    assert settings.proxies is not None
    kept = [settings.region, settings.admin_host, settings.client_host, settings.subscription_type, *settings.roles]
    kept += [*settings.proxies, *settings.proxies.values()]
    assert [type(value) for value in kept] == [str] * 7
    assert kept == ["eu", "chat.example:8080/x", "chat.example:8080/x", "ROLES", "amy", "https", "http://proxy:3128"]
    assert b"Name" not in pickle.dumps(kept)


def test_the_client_and_its_store_keep_plain_strings() -> None:
    """The app id is a part of host names and headers. The path is shown."""
    with Client(Name.AMY, AppSettings(region="us")) as client:
        assert (type(client.app_id), client.app_id) == (str, "amy")
    store = FileSessionStore(Name.AMY)
    assert type(store.path) is str and store.path.endswith("amy")


def test_tags_and_metadata_are_written_by_their_value() -> None:
    """The body of a message has the values of members."""
    message = TextMessage(
        text=Name.AMY, receiver_id=Name.AMY, receiver_type=Name.USER, tags=(Name.AMY,), metadata={"a": Name.AMY}
    )
    arguments.message(message)
    written = json.dumps([message.text, message.receiver_id, message.receiver_type, message.tags, message.metadata])
    assert written == '["amy", "amy", "user", ["amy"], {"a": "amy"}]'
