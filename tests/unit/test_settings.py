"""AppSettings, and the checks of users' arguments."""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
import pickle
import threading
import traceback
from fractions import Fraction
from pathlib import Path
from typing import Mapping

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat import (
    AppSettings,
    CometChatException,
    CometChatWSState,
    ConnectionListener,
    FileSessionStore,
    InvalidArgumentException,
    MemorySessionStore,
)
from cometchat._runtime import _arguments as arguments

SECONDS = ["connect_timeout", "auth_timeout", "ping_interval", "pong_timeout"]
NOT_SECONDS = [None, "10", True, b"1", [], Fraction(1, 2), 1j, float("nan"), float("inf"), -1, -0.001, 86_401, 10**400]


class NoStore:
    """A store without clear()."""

    def load(self):
        return None

    def save(self, session):
        return None


class OldStore(NoStore):
    """A store whose save() takes no session."""

    def save(self):
        return None

    def clear(self):
        return None


class AsyncStore:
    """Both stores, with methods that would never be awaited."""

    async def answer(self, *args):
        return None

    load = save = clear = join = answer


class AsyncCall:
    """An object to call, whose code would never run."""

    async def __call__(self, *args):
        return True


async def async_function(*args):
    return True


def generator_function(*args):
    yield True


#: Called where a plain function is expected, each returns a coroutine or a generator, which is true and not a number.
DEFERRED = (async_function, AsyncCall(), functools.partial(async_function, 1), generator_function)


class PathOfBytes:
    def __fspath__(self):
        return b"/"


WRONG = {
    "region": [5, b"us", [], "u s", "us.", "-us", "us-", "us/", "us/eu", "a.b", "us\n", "é", "x" * 64, " us"],
    "subscription_type": [None, 5, True, "", "all_users", "EVERYBODY", ["ALL_USERS"]],
    "roles": [None, "admin", b"admin", 5, {"a": 1}, ["admin"], [""], [5], [None], (x for x in ["a"])],
    "auto_establish_socket_connection": [None, 0, 1, "yes", "", []],
    "admin_host": [5, b"h", "", " ", "a b", "ftp://h", "://h", "http://", "h:port", "h:0", "h:99999", "h?x=1", "h#x"]
    + ["h:", "htp:/bad", "h\\x", "https://h\\.example"],
    "client_host": [
        5,
        "",
        "ftp://h",
        "h:port",
        "h?",
        "h#",
        "u:p@h",
        "u@h",
        "https://u:p@h/x",
        "h\n",
        "h\t",
        "[::1",
        "/path",
        ":80",
        True,
        [],
    ],
    **{field: NOT_SECONDS + [0, 0.0] for field in SECONDS},
    "settings_refresh_interval": NOT_SECONDS,
    "reconnect_wait": [5, "wait", tenacity.wait_fixed, object(), *DEFERRED],
    "reconnect_stop": [5, "stop", tenacity.stop_after_attempt, object(), *DEFERRED],
    "max_message_size": [None, "1024", 1024.0, True, 0, -1, 1023, 2**31],
    "proxies": [
        *("http://p", ["http://p"], 5, {"https": 5}, {"https": b"http://p"}, {5: "http://p"}, {None: None}),
        *({"https": "ftp://p"}, {"http": "http://p:x"}, {"all": "http://"}, {"https://h": "http://u:p/w@p"}),
    ],
    "ca_certs": [5, "", "/does/not/exist.pem", b"/", PathOfBytes(), []],
    "client_cert": [
        *(5, "", "/does/not/exist.pem", b"/", PathOfBytes(), [], ("/",), ("/", "/", "/"), ("/", None)),
        *(("/", "/does/not/exist.pem"), ("/", 5), {"/": "/"}),
    ],
    "max_queued_events": [None, "100", 100.0, True, 0, -1, 99, 2**31],
    "fetch_missed_messages": [1, "yes", None],
    "connect_after_fork": [0, "no", None],
    "allow_insecure_socket": [1, "yes", None],
    "allowed_hosts": [
        *("h", None, 5, [5], [""], ["https://h"], ["h:443"], ["h/path"], ["a b"], ["-h"], ["u@h"], {"h": "h"}),
        *([".h"], ["h" * 254]),
    ],
    "inbox_path": [5, "", "/", b"/o", "a\0b", []],
    "outbox_path": [5, "", "/", b"/o", "a\0b", []],
    "outbox_max_items": [0, -1, 2**31, 1.5, "5", True, None],
    "session_store": [
        *(5, "file", MemorySessionStore, FileSessionStore, NoStore(), OldStore(), object(), {}),
        AsyncStore(),
    ],
    "status_store": [
        *(5, "redis://localhost", b"", bytearray(), threading.Thread(), MemorySessionStore(), NoStore, {}),
        AsyncStore(),
    ],
}


def test_a_path_as_a_store():
    """The error names the class that takes the path."""
    with pytest.raises(InvalidArgumentException, match=r"such as FileSessionStore\(path\), got str"):
        AppSettings(region="us", session_store="session.json")


def test_no_field_is_left_out():
    """This test has wrong values for every field of AppSettings."""
    assert set(WRONG) == {field.name for field in dataclasses.fields(AppSettings)}


@each_row("field", sorted(WRONG))
def test_a_wrong_value_names_its_field(field):
    """Each wrong value of each field raises INVALID_<FIELD>, with the field's name and the right values."""
    for value in WRONG[field]:
        try:
            AppSettings(**{"region": "us", field: value})
        except InvalidArgumentException as error:
            assert (error.code, error.name) == (f"INVALID_{field.upper()}", field), repr(value)
            assert error.message.startswith(f"Invalid {field}: expected "), repr(value)
            assert isinstance(error, ValueError) and isinstance(error, CometChatException)
        else:
            pytest.fail(f"{value!r} is accepted")


@pytest.mark.parametrize("proxies", [{"http": "http://p", "https": 5}, {"http": "http://p", 5: "http://p"}], ids=repr)
def test_the_wrong_part_of_the_proxies_is_named(proxies):
    """The type in the message is that of the key or address that is wrong."""
    with pytest.raises(InvalidArgumentException, match="got int"):
        AppSettings(region="us", proxies=proxies)


@each_row(
    "given_settings, field",
    [
        ({}, "region"),
        ({"region": None}, "region"),
        ({"region": ""}, "region"),
        ({"admin_host": "h"}, "region"),
        ({"client_host": "h"}, "region"),
        ({"region": "us", "subscription_type": "ROLES"}, "roles"),
        ({"region": "us", "subscription_type": "ROLES", "roles": []}, "roles"),
    ],
)
def test_a_missing_value_names_its_field(given_settings, field):
    """A missing required value is MISSING_PARAMETERS, with the field's name."""
    with pytest.raises(InvalidArgumentException) as caught:
        AppSettings(**given_settings)
    assert (caught.value.code, caught.value.name) == ("MISSING_PARAMETERS", field)
    assert field in caught.value.message


def test_the_defaults_are_those_of_the_contract():
    """With only a region, every other field has the documented default."""
    made = AppSettings(region="us")
    assert dataclasses.asdict(made) == {
        "region": "us",
        "subscription_type": "NONE",
        "roles": (),
        "auto_establish_socket_connection": True,
        "admin_host": None,
        "client_host": None,
        "connect_timeout": 10.0,
        "auth_timeout": 10.0,
        "ping_interval": 15.0,
        "pong_timeout": 3.0,
        "reconnect_wait": None,
        "reconnect_stop": None,
        "settings_refresh_interval": 60.0,
        "max_message_size": 16 * 1024 * 1024,
        "proxies": None,
        "ca_certs": None,
        "client_cert": None,
        "session_store": None,
        "status_store": None,
        "max_queued_events": 10_000,
        "fetch_missed_messages": True,
        "connect_after_fork": True,
        "allow_insecure_socket": False,
        "allowed_hosts": (),
        "inbox_path": None,
        "outbox_path": None,
        "outbox_max_items": 100_000,
    }


STORE = MemorySessionStore()
WAIT = tenacity.wait_fixed(1) + tenacity.wait_random(0, 1)
STOP = tenacity.stop_after_attempt(3) | tenacity.stop_after_delay(60)


@each_row(
    "field, value, kept",
    [
        ("region", "EU", "eu"),
        ("region", "private-7", "private-7"),
        ("region", "x" * 63, "x" * 63),
        ("subscription_type", "FRIENDS", "FRIENDS"),
        ("subscription_type", "NONE", "NONE"),
        ("admin_host", "h:8080/path", "h:8080/path"),
        ("allowed_hosts", ["API.example.org", "h"], ("api.example.org", "h")),
        ("admin_host", "http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("client_host", "[::1]:8443", "[::1]:8443"),
        ("client_host", "https://h/v3", "https://h/v3"),
        ("connect_timeout", 1, 1.0),
        ("auth_timeout", 0.001, 0.001),
        ("ping_interval", 86_400, 86_400.0),
        ("pong_timeout", 2.5, 2.5),
        ("settings_refresh_interval", 0, 0.0),
        ("reconnect_wait", WAIT, WAIT),
        ("reconnect_stop", STOP, STOP),
        ("max_message_size", 1024, 1024),
        ("max_queued_events", 100, 100),
        ("proxies", {"https": "http://u:p@p:1"}, {"https": "http://u:p@p:1"}),
        ("proxies", {}, {}),
        ("proxies", {"no": "h:x", "ftp": "ftp://p"}, {"no": "h:x", "ftp": "ftp://p"}),
        ("proxies", {"http": None, "https": "http://p:1"}, {"http": "", "https": "http://p:1"}),
        ("ca_certs", os.curdir, os.getcwd()),
        ("ca_certs", Path(os.curdir), os.getcwd()),
        ("client_cert", os.curdir, os.getcwd()),
        ("client_cert", (os.curdir, Path(os.curdir)), (os.getcwd(), os.getcwd())),
        ("session_store", STORE, STORE),
        ("auto_establish_socket_connection", False, False),
    ],
)
def test_a_right_value_is_kept(field, value, kept):
    """Each field accepts the contract's values, seconds as float and the region in lower case."""
    result = getattr(AppSettings(**{"region": "us", field: value}), field)
    assert result == kept
    # A mapping is kept as an immutable one.
    assert isinstance(result, Mapping) if isinstance(kept, dict) else type(result) is type(kept)


@pytest.mark.parametrize("roles", [["b", "a"], ("b", "a")])
def test_roles_keep_their_order(roles):
    """A list or tuple of roles becomes a tuple in the same order."""
    assert AppSettings(region="us", subscription_type="ROLES", roles=roles).roles == ("b", "a")


def test_a_set_of_roles_is_sorted():
    """A set has no order: two equal ones give equal settings."""
    assert AppSettings(region="us", subscription_type="ROLES", roles={"b", "a", "c"}).roles == ("a", "b", "c")


def test_with_both_hosts_no_region_is_needed():
    """If both hosts are overridden, the region may be absent."""
    assert AppSettings(admin_host="a", client_host="c").region is None


def test_settings_are_keyword_only():
    """A positional argument is a TypeError."""
    with pytest.raises(TypeError):
        AppSettings("us")  # type: ignore[misc]


@each_row("field", sorted(WRONG))
def test_settings_can_not_be_changed(field):
    """No field can be set, replaced, or deleted."""
    made = AppSettings(region="us")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, field, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(made, field)


def test_changes_of_passed_values_do_not_change_the_settings():
    """Settings keep copies of the given lists and mappings."""
    roles, proxies = ["a"], {"https": "http://p:1"}
    made = AppSettings(region="us", subscription_type="ROLES", roles=roles, proxies=proxies)
    roles.append("b")
    proxies["https"] = "http://other:1"
    assert (made.roles, dict(made.proxies)) == (("a",), {"https": "http://p:1"})


@pytest.mark.parametrize("address", ["http://user:s3cr/et@p:1", "ftp://user:s3cr@p", "http://user:s3cr@p:x"])
def test_the_error_of_a_proxy_shows_no_password(address):
    """Neither the message nor the traceback shows a part of the address."""
    with pytest.raises(InvalidArgumentException) as caught:
        AppSettings(region="us", proxies={"https": address})
    assert "s3cr" not in "".join(traceback.format_exception_only(caught.type, caught.value)) + str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_the_proxies_of_settings_can_not_be_changed():
    """The mapping inside is immutable too."""
    made = AppSettings(region="us", proxies={"https": "http://p:1"})
    with pytest.raises(TypeError):
        made.proxies["https"] = "http://other:1"  # type: ignore[index]


FULL = {
    "region": "us",
    "subscription_type": "ROLES",
    "roles": ["a"],
    "proxies": {"https": "http://user:s3cret@proxy:1"},
    "session_store": FileSessionStore("/tmp/never-written/session.json"),
    "connect_timeout": 5,
}


@each_row(
    "field, value",
    [
        ("region", "eu"),
        ("roles", ["b"]),
        ("proxies", None),
        ("session_store", FileSessionStore("/tmp/never-written/other.json")),
        ("connect_timeout", 6),
        ("admin_host", "h"),
    ],
)
def test_settings_are_equal_if_every_field_is(field, value):
    """Two with equal fields are equal, so that init() notices that nothing changed.

    One different field makes them unequal.
    """
    assert AppSettings(**FULL) == AppSettings(
        **{**FULL, "session_store": FileSessionStore("/tmp/never-written/session.json")}
    )
    assert AppSettings(**FULL) != AppSettings(**{**FULL, field: value})


@pytest.mark.parametrize("given_settings", [{"region": "us"}, FULL], ids=["few", "full"])
def test_equal_settings_have_equal_hashes(given_settings):
    """Immutable settings can be a key, with proxies and without."""
    assert hash(AppSettings(**given_settings)) == hash(AppSettings(**given_settings))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_settings_can_be_copied(duplicate):
    """A copy, a deep copy and a pickle of settings equal them."""
    made = AppSettings(**FULL)
    assert duplicate(made) == made


def test_the_repr_hides_the_proxies():
    """A proxy's password is not in the repr. The other fields are."""
    text = repr(AppSettings(**FULL))
    assert "s3cret" not in text and "proxies" not in text
    assert "region='us'" in text and "connect_timeout=5.0" in text


@each_row(
    "host", ["user:s3cret@h", "https://user:s3cret@h/x", "u:s3cret@h:0", "s3cret@h", "http://s3cret@"]
)
@each_row("field", ["admin_host", "client_host"])
def test_a_password_in_a_host_is_refused_and_not_shown(field, host):
    """An override with credentials in it is refused, and the error does not quote them."""
    with pytest.raises(InvalidArgumentException) as caught:
        AppSettings(region="us", **{field: host})
    assert "s3cret" not in str(caught.value) + repr(vars(caught.value))


def test_a_wrong_proxy_is_not_shown():
    """A proxy's address may contain a password: the error shows only a type."""
    with pytest.raises(InvalidArgumentException) as caught:
        AppSettings(region="us", proxies={"https": ["http://user:s3cret@p"]})
    assert "s3cret" not in str(caught.value) + repr(vars(caught.value))


ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text(), max_size=2)
)


@given(st.dictionaries(st.sampled_from(sorted(WRONG)), ANYTHING, max_size=5))
def test_any_values_make_settings_or_an_invalid_argument(values):
    """For any values, only the SDK's own error is raised, with a documented code."""
    try:
        AppSettings(**values)
    except InvalidArgumentException as error:
        assert error.name in WRONG
        assert error.code in ("MISSING_PARAMETERS", f"INVALID_{error.name.upper()}")


class WithoutText:
    def __repr__(self):
        raise OSError("no text")


@pytest.mark.parametrize(
    "given, got",
    [
        ({"ping_interval": 10**5000}, "int"),  # Python writes no number of more than 4,300 digits
        ({"max_message_size": -(10**5000)}, "int"),
        ({"subscription_type": "ROLES", "roles": [WithoutText()]}, "tuple"),
        ({"region": "é" * 100_000}, f"'{'é' * 199}..."),
    ],
    ids=["digits", "negative", "no text", "length"],
)
def test_a_wrong_value_that_can_not_be_shown(given, got):
    """The error shows at most 200 characters of a value, or its type."""
    with pytest.raises(InvalidArgumentException) as caught:
        AppSettings(**{"region": "us", **given})
    assert caught.value.message.endswith(f", got {got}.")


# --- arguments


@each_row("value", [None, "", "  ", "\n"])
@each_row(
    "check, name",
    [
        (lambda value: arguments.text("uid", value, "give a uid"), "uid"),
        (lambda value: arguments.header("auth_key", value, "give a key"), "auth_key"),
        (lambda value: arguments.app_id(value, True), "app_id"),
        (arguments.listener_id, "listener_id"),
    ],
)
def test_an_empty_text_is_missing(check, name, value):
    """None, an empty text, and white space alone are MISSING_PARAMETERS."""
    with pytest.raises(InvalidArgumentException) as caught:
        check(value)
    assert (caught.value.code, caught.value.name) == ("MISSING_PARAMETERS", name)


@each_row(
    "check, value, name",
    [
        (lambda value: arguments.text("uid", value, "give a uid"), 5, "uid"),
        (lambda value: arguments.text("uid", value, "give a uid"), b"u", "uid"),
        (lambda value: arguments.text("uid", value, "give a uid"), "\ud800", "uid"),
        (lambda value: arguments.header("auth_key", value, "give a key"), "kéy", "auth_key"),
        (lambda value: arguments.header("auth_key", value, "give a key"), "a\r\nb: c", "auth_key"),
        (lambda value: arguments.header("auth_key", value, "give a key"), " key", "auth_key"),
        (lambda value: arguments.header("auth_key", value, "give a key"), "key\n", "auth_key"),
        (lambda value: arguments.header("auth_key", value, "give a key"), 5, "auth_key"),
        (lambda value: arguments.app_id(value, True), "a.b", "app_id"),
        (lambda value: arguments.app_id(value, True), "a/b", "app_id"),
        (lambda value: arguments.app_id(value, False), "a\nb", "app_id"),
        (lambda value: arguments.app_id(value, False), 5, "app_id"),
        (arguments.timeout, "5", "timeout"),
        (arguments.timeout, True, "timeout"),
        (arguments.timeout, 0, "timeout"),
        (arguments.timeout, -1, "timeout"),
        (arguments.timeout, float("nan"), "timeout"),
        (arguments.timeout, float("inf"), "timeout"),
        (arguments.timeout, 86_401, "timeout"),
        (arguments.timeout, 10**400, "timeout"),
        (lambda value: arguments.timeout(value, zero=True), -0.1, "timeout"),
        (arguments.status, "Connected", "status"),
        (arguments.status, "", "status"),
        (arguments.status, None, "status"),
        (arguments.status, 5, "status"),
        (arguments.listener_id, 5, "listener_id"),
        (lambda value: arguments.listener(value, ConnectionListener), object(), "listener"),
        (lambda value: arguments.listener(value, ConnectionListener), ConnectionListener, "listener"),
        (arguments.refresh, "token", "refresh"),
        (arguments.refresh, 5, "refresh"),
        *((arguments.refresh, function, "refresh") for function in DEFERRED),
    ],
)
def test_a_wrong_argument_names_itself(check, value, name):
    """A wrong type or value is INVALID_<PARAMETER>, with a sentence about the right values."""
    with pytest.raises(InvalidArgumentException) as caught:
        check(value)
    assert (caught.value.code, caught.value.name) == (f"INVALID_{name.upper()}", name)
    assert "expected " in caught.value.message


@pytest.mark.parametrize("secret", ["s3cret\n", "s3crét", " s3cret"])
def test_a_wrong_credential_is_not_shown(secret):
    """An auth key that cannot go into a header is refused, and not quoted."""
    with pytest.raises(InvalidArgumentException) as caught:
        arguments.header("auth_key", secret, "give a key")
    assert "s3cr" not in str(caught.value) + repr(vars(caught.value))


def refresh():
    return "token"


@each_row(
    "check, value, result",
    [
        (lambda value: arguments.text("uid", value, ""), " Zoë 💬 ", " Zoë 💬 "),
        (lambda value: arguments.header("k", value, ""), "a b", "a b"),
        (lambda value: arguments.app_id(value, True), "2389ab_c-1", "2389ab_c-1"),
        (lambda value: arguments.app_id(value, False), "a.b", "a.b"),
        (arguments.timeout, None, None),
        (arguments.timeout, 3, 3.0),
        (lambda value: arguments.timeout(value, zero=True), 0, 0.0),
        (arguments.timeout, 86_400, 86_400.0),
        (arguments.status, "featureThrottled", CometChatWSState.FEATURE_THROTTLED),
        (arguments.status, CometChatWSState.CONNECTED, CometChatWSState.CONNECTED),
        (arguments.refresh, None, None),
        (arguments.refresh, refresh, refresh),
    ],
)
def test_a_right_argument_is_kept(check, value, result):
    """An allowed value is returned unchanged, seconds as float and a status as its member."""
    assert check(value) == result


def test_a_missing_listener_is_missing():
    """None in place of a listener is MISSING_PARAMETERS."""
    with pytest.raises(InvalidArgumentException) as caught:
        arguments.listener(None, ConnectionListener)
    assert caught.value.code == "MISSING_PARAMETERS"


def test_the_error_for_a_listener_class_says_to_call_it():
    """A class in place of an instance is the commonest mistake. The error says what to do."""
    with pytest.raises(InvalidArgumentException, match="not the class ConnectionListener"):
        arguments.listener(ConnectionListener, ConnectionListener)
    listener = ConnectionListener()
    assert arguments.listener(listener, ConnectionListener) is listener
