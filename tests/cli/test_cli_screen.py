"""The output of the commands on different screens."""

from __future__ import annotations

import io
import os
import sys

import pytest

from cometchat.cli._screen import HIDDEN, Screen, one_line, visible


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def colours_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


def test_a_pipe_gets_plain_text() -> None:
    """Styles leave nothing on a pipe."""
    stream = io.StringIO()
    Screen(stream).line(("fine", "good"), " and ", ("bad", "bad"))
    assert stream.getvalue() == "fine and bad\n"


def test_a_terminal_gets_colour() -> None:
    """With rich installed, a terminal gets colours.

    The text is not wrapped, and has neither markup nor highlighting.
    """
    pytest.importorskip("rich")
    stream = Terminal()
    Screen(stream).line(("[bold]fine[/bold] 42 ", "good"), "x" * 300)
    assert "\x1b[32m[bold]fine[/bold] 42 \x1b[0m" in stream.getvalue()
    assert "x" * 300 + "\n" in stream.getvalue()


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR gives plain text on a terminal."""
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    Screen(stream).line(("fine", "good"))
    assert stream.getvalue() == "fine\n"


def test_force_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """FORCE_COLOR gives colours on a pipe. NO_COLOR and ``plain`` take precedence."""
    pytest.importorskip("rich")
    monkeypatch.setenv("FORCE_COLOR", "1")
    forced, plain, refused = io.StringIO(), io.StringIO(), io.StringIO()
    Screen(forced).line(("fine", "good"))
    Screen(plain, plain=True).line(("fine", "good"))
    monkeypatch.setenv("NO_COLOR", "1")
    Screen(refused).line(("fine", "good"))
    assert forced.getvalue() == "\x1b[32mfine\x1b[0m\n"
    assert plain.getvalue() == refused.getvalue() == "fine\n"


def test_without_rich_a_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rich, a terminal gets plain text."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    stream = Terminal()
    Screen(stream).line(("fine", "good"))
    assert stream.getvalue() == "fine\n"


def test_secrets_are_hidden() -> None:
    """A secret is hidden in any text, and the longer of two is hidden first.

    A text too short for a secret is not hidden.
    """
    stream = io.StringIO()
    Screen(stream, ["secret", "secret-and-more", "", "a"]).line("a secret, ", ("secret-and-more", "bad"))
    assert stream.getvalue() == f"a {HIDDEN}, {HIDDEN}\n"


def test_an_encoding_without_arrows() -> None:
    """In an encoding without arrows, the line has plain signs instead of an exception."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Screen(stream).line("→ ✓ … é")
    assert raw.getvalue() == b"-> + ... ?\n"


def test_one_line() -> None:
    """Line breaks and escape sequences in a server's text do not reach the terminal."""
    assert one_line("a\nb\x1b[31m\tc") == "a b [31m c"


@pytest.mark.parametrize("text", ["👨\u200d👩\u200d👧", "می\u200cخواهم", "שלום", "❤️"])
def test_signs_that_are_joined_stay_whole(text: str) -> None:
    """Emoji of several signs, and Persian words, reach the terminal as they are. They cannot control it."""
    assert one_line(text) == visible(text) == text


def test_an_interrupted_line_is_discarded() -> None:
    """If nothing reads the pipe, Ctrl-C ends the write of a line. Its rest must not block the flush at the end."""

    class Interrupted(io.TextIOWrapper):
        interrupted = False

        def flush(self) -> None:
            if not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            super().flush()

    reading, writing = os.pipe()
    with open(reading, "rb") as reader, Interrupted(open(writing, "wb")) as stream:
        with pytest.raises(KeyboardInterrupt):
            Screen(stream, plain=True).line("first")
        stream.flush()
        assert reader.read() == b""  # the pipe has no other writer
