"""Secrets are removed from texts, whole and in part."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Dict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat import SecretsFilter
from cometchat._runtime.account._redaction import SHORTEST_PIECE, Secrets

SECRET = "".join(chr(ord("a") + number % 26) + str(number) for number in range(60))


def pieces(text: str) -> "list[str]":
    """Return the pieces of the secret in a text that are long enough to be useful."""
    starts = range(len(SECRET) - SHORTEST_PIECE + 1)
    return [SECRET[at : at + SHORTEST_PIECE] for at in starts if SECRET[at : at + SHORTEST_PIECE] in text]


@pytest.fixture
def secrets() -> Secrets:
    known = Secrets()
    known.add(SECRET)
    return known


@given(st.text(max_size=40), st.integers(0, 150), st.integers(0, 170), st.text(max_size=40))
def test_no_piece_stays_wherever_it_is(before, start, length, after):
    """A text may have any part of a secret, in any place: no 20 characters of it stay, and the length does."""
    secrets = Secrets()
    secrets.add(SECRET)
    text = before + SECRET[start : start + length] + after
    scrubbed = secrets.scrub(text)
    assert pieces(scrubbed) == []
    assert len(scrubbed) == len(text)


@given(st.text(alphabet="xyz-_ ", max_size=300))
def test_other_texts_stay_as_they_are(text):
    """A text without a secret in it is not touched."""
    secrets = Secrets()
    secrets.add(SECRET)
    assert secrets.scrub(text) == text


def test_two_pieces_in_one_text(secrets):
    """Each piece is removed. The text between them stays."""
    scrubbed = secrets.scrub(f"one {SECRET[5:60]} two {SECRET[70:100]} three")
    assert scrubbed == f"one {'*' * 55} two {'*' * 30} three"


def test_a_short_secret_is_blotted_out_as_a_whole():
    """Six characters are a secret. Fewer are a word, whose removal would damage every text."""
    secrets = Secrets()
    secrets.add("hunter2", "auth", "")
    assert secrets.scrub("auth with hunter2") == "auth with *******"


def test_the_json_form_of_a_secret_is_one_too():
    """A secret that JSON writes in another form is found in JSON as well."""
    secrets = Secrets()
    secrets.add('quo"ted-secret')
    assert secrets.scrub('{"a": "quo\\"ted-secret"}') == '{"a": "***************"}'


def test_the_channel_of_a_call_is_blotted_out(secrets: Secrets) -> None:
    """``wsChannel`` in the frame of a call has a secret that the client never learned."""
    text = '{"status": "x", "wsChannel": {"identity": "i", "secret": "abc"}, "data": {}}'
    scrubbed = secrets.scrub(text)
    assert scrubbed == text.replace('{"identity": "i", "secret": "abc"}', "*" * 34) and len(scrubbed) == len(text)
    start = text.index('{"identity"')
    assert secrets.scrub(text[: start + 9]) == text[:start] + "*" * 9  # cut, by a server or for a log
    assert secrets.scrub('{"wsChannel": null}') == '{"wsChannel": null}'


def test_the_newest_are_remembered():
    """A secret stays known for some logins. Old ones are forgotten."""
    secrets = Secrets()
    names = [f"secret-number-{number}" for number in range(30)]
    for name in names:
        secrets.add(name, name)
    assert secrets.scrub(names[-1]) == "*" * len(names[-1])
    assert secrets.scrub(names[-16]) == "*" * len(names[-16])
    assert secrets.scrub(names[0]) == names[0]


# The filter.

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


def filtered(message: str = "x", **fields: Any) -> logging.LogRecord:
    """Return a record with these fields, after the filter."""
    record = logging.makeLogRecord({"msg": message, **fields})
    assert SecretsFilter().filter(record) is True
    return record


LONG_SECRET = "q" * 8000

HOSTILE: Dict[str, str] = {
    "beginnings of jwts": "eyJaaaaa-",
    "first parts of jwts": "eyJaaaaa..",
    "two parts of jwts": "eyJaaaaa.aaaaa-",
    "names": "jwt ",
    "quotes that stay open": "jwt=\"jwt:",
    "schemes": "jwt:token ",
    "pieces": SECRET[3:30],
    "windows": SECRET[10:20],
    "backslashes": "jwt:\\\\\\\\",
    "command lines": "--auth-key ",
    "pairs": "('jwt',",
    "beginnings of pairs": "('a",
    "escapes": "jwt%3D",
    "beginnings of URLs": "://a:",
    "URLs that stay open": "://a:bbbbbbb",
    "one word": "a",
    "nearly a long secret": LONG_SECRET[:19] + "b",
    "signs": "jwt=",
    "dots": ".",
    "spaces": " ",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_the_time_grows_with_the_text_and_not_with_its_square(secrets: Secrets, name: str) -> None:
    """Sixteen times the text takes far less than 256 times as long, and a megabyte takes a moment."""

    def seconds(size: int) -> float:
        text = (HOSTILE[name] * size)[:size]
        best = 60.0
        for _ in range(3):
            began = time.thread_time()
            filtered(text)
            best = min(best, time.thread_time() - began)
        return best

    secrets.add(LONG_SECRET)
    assert seconds(96_000) < 80 * seconds(6_000)


@each_row(
    "text, clean",
    [
        (JWT, "***"),
        (f"got {JWT}, then {JWT}.", "got ***, then ***."),
        (f"token-{JWT} x", "token-*** x"),
        (f"https://host/path.{JWT}", "https://host/path.***"),
        (f"eyJ-a.{JWT}", "eyJ-a.***"),
        (f"a.bcdefgh.{JWT}", "a.bcdefgh.***"),
        ("a.bcdefgh.c", "a.bcdefgh.c"),
        ("eyJust saying.so.what", "eyJust saying.so.what"),
    ],
)
def test_a_jwt_is_found_in_every_place(text: str, clean: str) -> None:
    """A jwt is found after a hyphen, a dot or a slash too. A text that only begins like one stays."""
    assert filtered(text).getMessage() == clean


def test_the_fields_of_extra_are_scrubbed(secrets: Secrets) -> None:
    """Texts and containers of texts are scrubbed by content and by name. Other values stay the same objects."""
    other, plain = object(), {"n": [1, "two"]}
    record = filtered(
        url=f"/?t={SECRET}",
        authToken="abc",
        headers={"Authorization": "Bearer abc", "Accept": "json", "deep": [(JWT, 1)]},
        pairs=[("Accept", "json"), ("Authorization", "Bearer abc"), ["authToken", "abc"]],
        other=other,
        plain=plain,
    )
    fields = vars(record)
    assert fields["url"] == "/?t=" + "*" * len(SECRET) and fields["authToken"] == "***"
    assert fields["headers"] == {"Authorization": "***", "Accept": "json", "deep": [("***", 1)]}
    assert fields["pairs"] == [("Accept", "json"), ("Authorization", "***"), ["authToken", "***"]]
    assert fields["other"] is other and fields["plain"] is plain


def test_a_field_that_contains_itself_is_left_alone() -> None:
    """The search in a container ends."""
    field: Any = ["x"]
    field.append(field)
    assert vars(filtered(field=field))["field"] is field


def test_a_traceback_with_a_secret_is_text_only(secrets: Secrets) -> None:
    """A formatter that formats ``exc_info`` by itself finds no traceback. Without a secret the record keeps it."""
    for message, kept in ((SECRET, False), ("nothing", True)):
        try:
            raise ValueError(message)
        except ValueError:
            record = filtered(exc_info=sys.exc_info())
        assert (record.exc_info is not None) is kept
        assert kept or "ValueError: " + "*" * len(SECRET) in (record.exc_text or "")


def test_a_traceback_that_was_formatted_before_is_scrubbed(secrets: Secrets) -> None:
    """Another handler, or another process, may have formatted it: there is no ``exc_info``."""
    assert filtered(exc_text=f"ValueError: {SECRET}").exc_text == "ValueError: " + "*" * len(SECRET)


def test_arguments_that_do_not_fit_the_format_are_scrubbed(secrets: Secrets) -> None:
    """The handler prints the message and the arguments of such a record on standard error."""
    record = filtered(msg=f"%d %d {SECRET}", args=(SECRET, {"authToken": "abc"}, 7))
    assert record.msg == "%d %d " + "*" * len(SECRET)
    assert record.args == ("*" * len(SECRET), {"authToken": "***"}, 7)
