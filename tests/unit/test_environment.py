"""AppSettings.from_env: the settings that the environment names."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, Dict

import pytest

from cometchat import AppSettings, CometChatException, FileSessionStore, InvalidArgumentException
from cometchat._environment import SERVICE, VARIABLES, read_fields


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own account is not used."""
    for name in VARIABLES:
        monkeypatch.delenv(f"COMETCHAT_{name}", raising=False)


def test_each_variable_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Region, hosts, timeouts and paths come from their variables."""
    ca_certs = tmp_path / "ca.pem"
    ca_certs.touch()
    given = {
        "REGION": "EU",
        "ADMIN_HOST": "admin.example:8443/api",
        "CLIENT_HOST": "http://127.0.0.1:8080",
        "CA_CERTS": str(ca_certs),
        "CONNECT_TIMEOUT": "2.5",
        "AUTH_TIMEOUT": "3",
        "PING_INTERVAL": "20",
        "PONG_TIMEOUT": "4",
        "SUBSCRIPTION_TYPE": "ROLES",
        "ROLES": "teacher, pupil,",
        "SESSION_PATH": str(tmp_path / "session.json"),
        "INBOX_PATH": str(tmp_path / "inbox.db"),
        "OUTBOX_PATH": str(tmp_path / "outbox.db"),
    }
    assert set(given) == set(VARIABLES)
    for name, text in given.items():
        monkeypatch.setenv(f"COMETCHAT_{name}", text)
    settings = AppSettings.from_env()
    store = settings.session_store
    assert isinstance(store, FileSessionStore)
    store.save({"auth_token": "x"})
    assert (tmp_path / "session.json").exists()
    expected = AppSettings(
        region="eu",
        admin_host="admin.example:8443/api",
        client_host="http://127.0.0.1:8080",
        ca_certs=ca_certs,
        connect_timeout=2.5,
        auth_timeout=3,
        ping_interval=20,
        pong_timeout=4,
        subscription_type="ROLES",
        roles=["teacher", "pupil"],
        session_store=store,
        inbox_path=tmp_path / "inbox.db",
        outbox_path=tmp_path / "outbox.db",
    )
    assert settings == expected


def test_overrides_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that the program gives overrides its variable, and None is a value."""
    monkeypatch.setenv("COMETCHAT_REGION", "eu")
    monkeypatch.setenv("COMETCHAT_OUTBOX_PATH", "/nowhere/outbox.db")
    assert AppSettings.from_env(region="us", outbox_path=None, max_queued_events=500) == AppSettings(
        region="us", max_queued_events=500
    )


@pytest.mark.parametrize(
    "name, value, overrides",
    [
        ("CONNECT_TIMEOUT", "5s", {"connect_timeout": 5}),
        ("SESSION_PATH", "a\0b", {"session_store": None}),
    ],
)
def test_the_variable_of_an_override_is_not_read(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, overrides: Dict[str, Any]
) -> None:
    """Its value may be wrong. (The system's environment can't hold some of them.)"""
    monkeypatch.setattr("os.environ", {"COMETCHAT_REGION": "us", f"COMETCHAT_{name}": value})
    assert AppSettings.from_env(**overrides).region == "us"
    with pytest.raises(InvalidArgumentException):
        AppSettings.from_env()


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable without a value leaves the default, as in the command line."""
    monkeypatch.setenv("COMETCHAT_REGION", "us")
    monkeypatch.setenv("COMETCHAT_CONNECT_TIMEOUT", "")
    assert AppSettings.from_env() == AppSettings(region="us")


def test_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several apps in one environment have different prefixes."""
    monkeypatch.setenv("COMETCHAT_REGION", "us")
    monkeypatch.setenv("SHOP_CHAT_REGION", "in")
    assert AppSettings.from_env("SHOP_CHAT_") == AppSettings(region="in")


@pytest.mark.parametrize("prefix", [None, 5, b"COMETCHAT_", ["COMETCHAT_"]])
def test_a_wrong_prefix(prefix: Any) -> None:
    """The error names the parameter and an example."""
    with pytest.raises(InvalidArgumentException, match='prefix: expected a string such as "COMETCHAT_"') as caught:
        AppSettings.from_env(prefix, region="us")
    assert caught.value.code == "INVALID_PREFIX"


@pytest.mark.parametrize(
    "name, text, code",
    [
        ("REGION", "no such place", "INVALID_REGION"),
        ("CLIENT_HOST", "htp:/bad", "INVALID_CLIENT_HOST"),
        ("CONNECT_TIMEOUT", "soon", "INVALID_CONNECT_TIMEOUT"),
        ("CONNECT_TIMEOUT", "-1", "INVALID_CONNECT_TIMEOUT"),
        ("PONG_TIMEOUT", "nan", "INVALID_PONG_TIMEOUT"),
        ("SUBSCRIPTION_TYPE", "EVERYONE", "INVALID_SUBSCRIPTION_TYPE"),
        ("CA_CERTS", "/no/such/file", "INVALID_CA_CERTS"),
        ("OUTBOX_PATH", ":memory:", "INVALID_OUTBOX_PATH"),
        ("SESSION_PATH", "file:session", "INVALID_PATH"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the field's code, and names the variable. It has no other error as its cause."""
    monkeypatch.setenv("COMETCHAT_REGION", "us")
    monkeypatch.setenv(f"COMETCHAT_{name}", text)
    with pytest.raises(InvalidArgumentException) as caught:
        AppSettings.from_env()
    assert caught.value.code == code
    assert f"COMETCHAT_{name}." in caught.value.message
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_without_a_region_the_variable_is_named() -> None:
    """An empty environment is the commonest mistake."""
    with pytest.raises(CometChatException, match="COMETCHAT_REGION") as caught:
        AppSettings.from_env()
    assert caught.value.code == "MISSING_PARAMETERS"


@pytest.mark.parametrize("override, code", [({"region": 5}, "INVALID_REGION"), ({"auth_timeout": 0}, "INVALID_AUTH_")])
def test_a_wrong_override_is_the_programs(override: Any, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error does not name the environment if the program gave the value."""
    monkeypatch.setenv("COMETCHAT_REGION", "us")
    with pytest.raises(InvalidArgumentException) as caught:
        AppSettings.from_env(**override)
    assert caught.value.code.startswith(code) and "COMETCHAT_" not in caught.value.message


def test_each_variable_is_that_of_a_field() -> None:
    """The table names fields of AppSettings. Commands read a part of it."""
    assert {variable.field for variable in VARIABLES.values()} <= {each.name for each in fields(AppSettings)}
    assert set(SERVICE) < set(VARIABLES)
    assert read_fields({"COMETCHAT_OUTBOX_PATH": "a"}, "COMETCHAT_", SERVICE) == {}


def test_the_docstring_names_each_variable() -> None:
    """``help(AppSettings.from_env)`` is the list."""
    text = AppSettings.from_env.__doc__ or ""
    assert [name for name in VARIABLES if f"_{name}``" not in text] == []
