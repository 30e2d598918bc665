"""Secrets are blotted out of texts, whole and in part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometchat._runtime._redaction import SHORTEST_PIECE, Secrets

SECRET = "".join(chr(ord("a") + number % 26) + str(number) for number in range(60))


def pieces(text: str) -> "list[str]":
    """The pieces of the secret in a text that are long enough to be of use."""
    starts = range(len(SECRET) - SHORTEST_PIECE + 1)
    return [SECRET[at : at + SHORTEST_PIECE] for at in starts if SECRET[at : at + SHORTEST_PIECE] in text]


@pytest.fixture
def secrets() -> Secrets:
    known = Secrets()
    known.add(SECRET)
    return known


@given(st.text(max_size=40), st.integers(0, 150), st.integers(0, 170), st.text(max_size=40))
def test_no_piece_stays_wherever_it_is(before, start, length, after):
    """Whatever part of a secret a text holds, and wherever: nothing of 20 characters of it stays, the length does."""
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
    """Each piece is blotted out; what is between them stays."""
    scrubbed = secrets.scrub(f"one {SECRET[5:60]} two {SECRET[70:100]} three")
    assert scrubbed == f"one {'*' * 55} two {'*' * 30} three"


def test_a_short_secret_is_blotted_out_as_a_whole():
    """Six characters are a secret; fewer are a word that would garble every text."""
    secrets = Secrets()
    secrets.add("hunter2", "auth", "")
    assert secrets.scrub("auth with hunter2") == "auth with *******"


def test_the_json_form_of_a_secret_is_one_too():
    """A secret that JSON writes otherwise is found in JSON as well."""
    secrets = Secrets()
    secrets.add('quo"ted-secret')
    assert secrets.scrub('{"a": "quo\\"ted-secret"}') == '{"a": "***************"}'


def test_the_newest_are_remembered():
    """A secret stays known for some logins, and those of long ago are let go."""
    secrets = Secrets()
    names = [f"secret-number-{number}" for number in range(30)]
    for name in names:
        secrets.add(name, name)
    assert secrets.scrub(names[-1]) == "*" * len(names[-1])
    assert secrets.scrub(names[-16]) == "*" * len(names[-16])
    assert secrets.scrub(names[0]) == names[0]
