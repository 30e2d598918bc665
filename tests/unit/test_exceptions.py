"""The exceptions: codes, classes, copies, and hidden values."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest
from rows import each_row

import cometchat
from cometchat import (
    AuthenticationException,
    CometChatException,
    ConnectionException,
    ConnectionTimeoutException,
    InvalidArgumentException,
    RateLimitException,
    exceptions,
)

CLASSES = [
    CometChatException,
    AuthenticationException,
    ConnectionException,
    ConnectionTimeoutException,
    InvalidArgumentException,
    RateLimitException,
]

# The table of api.md, with the class that a caller would catch.
CODES = {
    "COMETCHAT_INITIALIZATION_NOT_DONE": CometChatException,
    "USER_NOT_LOGGED_IN": CometChatException,
    "LOGIN_IN_PROGRESS": CometChatException,
    "ERR_CLIENT_CLOSED": CometChatException,
    "ERR_FEATURE_THROTTLED": CometChatException,
    "MISSING_PARAMETERS": InvalidArgumentException,
    "FAILED_TO_FETCH": ConnectionException,
    "ERR_TOO_MANY_REQUESTS": RateLimitException,
    "ERR_BAD_RESPONSE": ConnectionException,
    "WS_CONNECTION_FAIL": ConnectionException,
    "ERR_CONNECT_TIMEOUT": ConnectionTimeoutException,
    "ERR_AUTH_TIMEOUT": ConnectionTimeoutException,
    "ERR_PONG_TIMEOUT": ConnectionTimeoutException,
    "WS_AUTH_FAIL": AuthenticationException,
    "ERR_PROTOCOL": ConnectionException,
    "ERR_STATUS_STORE": ConnectionException,
    "NO_WEBSOCKET_CONNECTION": ConnectionException,
}


@each_row("code, cls", sorted(CODES.items(), key=str))
def test_each_documented_code_has_its_class(code, cls):
    """exception_for gives the code of the contract the class that a caller would catch, and a constant of that name."""
    error = exceptions.exception_for(code, "Message.")
    assert type(error) is cls
    assert getattr(exceptions, code) == code


def test_an_unknown_code_is_a_plain_exception():
    """The server's own codes pass through in the base class."""
    error = exceptions.exception_for("ERR_UID_NOT_FOUND", "No such user.", name="N", details="D", retry_after=1.5)
    assert type(error) is CometChatException
    assert (error.code, error.message, error.name, error.details, error.retry_after) == (
        "ERR_UID_NOT_FOUND",
        "No such user.",
        "N",
        "D",
        1.5,
    )


def test_every_constant_is_its_own_name():
    """A code's constant and its text are the same, and CLASSES knows no other codes."""
    constants = {name for name, value in vars(exceptions).items() if name.isupper() and isinstance(value, str)}
    assert constants and all(getattr(exceptions, name) == name for name in constants)
    assert set(exceptions.CLASSES) <= constants
    assert set(CODES) <= constants


@each_row(
    "cls, parents",
    [
        (CometChatException, (Exception,)),
        (AuthenticationException, (CometChatException,)),
        (ConnectionException, (CometChatException, ConnectionError, OSError)),
        (ConnectionTimeoutException, (ConnectionException, TimeoutError)),
        (InvalidArgumentException, (CometChatException, ValueError)),
        (RateLimitException, (CometChatException,)),
    ],
)
def test_an_exception_is_every_kind_that_a_caller_might_catch(cls, parents):
    """Each class is the SDK's and, if Python has one, the builtin class of its kind."""
    assert issubclass(cls, parents)
    assert all(issubclass(cls, parent) for parent in parents)
    assert getattr(cometchat, cls.__name__) is cls


@each_row("cls", CLASSES)
def test_the_name_defaults_to_the_code(cls):
    """name falls back on code, and details and retry_after on None."""
    error = cls("CODE", "Message.")
    assert (error.name, error.details, error.retry_after) == ("CODE", None, None)
    assert cls("CODE", "Message.", name="").name == ""


@each_row("cls", CLASSES)
def test_an_exception_reads_as_code_and_message(cls):
    """str has code, message and details, and repr the class too, also for OSErrors."""
    assert str(cls("CODE", "Message.")) == "CODE: Message."
    error = cls("CODE", "Message.", details="more")
    assert str(error) == "CODE: Message. (more)"
    assert repr(error) == f"{cls.__name__}(code='CODE', message='Message.', details='more')"
    assert traceback.format_exception_only(cls, error)[0].endswith(f"{cls.__name__}: CODE: Message. (more)\n")


@pytest.mark.parametrize(
    "seconds, text",
    [(7, " (retry after 7 s)"), (0.2, " (retry after 1 s)"), (6.6, " (retry after 7 s)"), (0, ""), (None, "")],
)
def test_the_wait_that_the_server_asks_for_is_named(seconds, text):
    """str says how long to wait, in whole seconds."""
    assert str(RateLimitException("ERR_TOO_MANY_REQUESTS", "No.", retry_after=seconds)) == (
        f"ERR_TOO_MANY_REQUESTS: No.{text}"
    )


@pytest.mark.parametrize(
    "code, part",
    [
        ("AUTH_ERR_APIKEY_NOT_FOUND", "not a REST API key"),
        ("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", "login() takes the auth key"),
    ],
)
def test_a_mixed_up_credential_is_named(code, part):
    """str says which call takes which credential. The service's message and details stay unchanged."""
    error = AuthenticationException(code, "It does not exist.", details="more")
    assert part in str(error) and str(error).startswith(f"{code}: It does not exist. (more; ")
    assert (error.message, error.details) == ("It does not exist.", "more")


COPIES = [copy.copy, copy.deepcopy]
COPIES += [lambda e, p=p: pickle.loads(pickle.dumps(e, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)]


@each_row("duplicate", COPIES)
@each_row("cls", CLASSES)
def test_a_copy_has_every_attribute(cls, duplicate):
    """copy, deepcopy and pickle of every protocol keep class, args and all attributes, also those set later."""
    error = cls("CODE", "Message.", name="Name", details="more", retry_after=2.5)
    error.close_code = 4001
    error.extra = {"a": [1]}
    other = duplicate(error)
    assert type(other) is cls and other is not error
    assert vars(other) == vars(error) and vars(other)["close_code"] == 4001
    assert (other.args, str(other), repr(other)) == (error.args, str(error), repr(error))


def test_a_connection_error_without_a_close_code_says_none():
    """Every ConnectionException has close_code."""
    assert ConnectionException("CODE", "Message.").close_code is None


@each_row(
    "make, code",
    [
        (lambda secret: exceptions.invalid("auth_key", "give a text", secret), "INVALID_AUTH_KEY"),
        (lambda secret: exceptions.missing("auth_key", "give a text"), "MISSING_PARAMETERS"),
    ],
)
@each_row("secret", ["s3cret-value", b"s3cret-value", ["s3cret-value"], {"s3cret-value": 1}])
def test_a_wrong_argument_is_named_and_not_shown(make, code, secret):
    """The error names the argument and the right values, and shows only the type of the wrong one."""
    error = make(secret)
    assert type(error) is InvalidArgumentException
    assert (error.code, error.name) == (code, "auth_key")
    assert "auth_key" in error.message and "give a text" in error.message
    assert "s3cret" not in repr(vars(error)) + str(error) + repr(error) + repr(error.args)


def test_a_wrong_value_that_is_not_a_secret_is_shown():
    """invalid_value shows the wrong value."""
    error = exceptions.invalid_value("region", "give a region", "moon")
    assert (error.code, error.name) == ("INVALID_REGION", "region")
    assert "'moon'" in error.message


def test_the_module_imports_nothing_but_typing():
    """The hierarchy can be used anywhere: it does not know sockets, threads and HTTP."""
    assert not {"threading", "socket", "requests", "websocket"} & set(vars(exceptions))
