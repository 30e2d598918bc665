"""Prints the output of a command: in colour on a terminal if ``rich`` is installed, else as plain text."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any, Iterable, List, Mapping, Optional, TextIO, Tuple, Union

from ._errors import Failed

#: A piece of a line: a text, or a text with the name of a style.
Span = Union[str, Tuple[str, str]]

STYLES: Mapping[str, str] = {
    "good": "green",
    "bad": "bold red",
    "warn": "yellow",
    "dim": "dim",
    "title": "bold",
    "call": "bold cyan",
    "wire": "magenta",
}

#: For terminals and pipes whose encoding has no such signs.
_ASCII = str.maketrans({"→": "->", "←": "<-", "✓": "+", "✗": "x", "·": "-", "…": "...", "—": "-", "⚡": "!"})

HIDDEN = "[hidden]"

#: Minimum length of a secret to hide, in characters.
_SHORTEST = 6

#: Maximum length of other users' text on a line, in characters.
_LONGEST = 400


class Screen:
    """Writes lines to a stream.

    :param stream: default: the current standard output.
    :param secrets: texts that are never printed, even if a server's error message quotes them.
    :param plain: print no colours, for any stream and environment.
    """

    def __init__(self, stream: Optional[TextIO] = None, secrets: Iterable[str] = (), plain: bool = False) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._secrets = list(secrets)
        self._rich = None if plain or not _wants_colour(self._stream) else _rich_console(self._stream)

    @property
    def is_terminal(self) -> bool:
        """Whether the stream is a terminal, where a person reads it."""
        return self._stream.isatty()

    def line(self, *spans: Span) -> None:
        """Print one line.

        :raises Failed: the stream can't be written, such as to a full disk.
        """
        try:
            self._write([self._clean(span) for span in spans])
        except OSError as error:
            if is_closed_pipe(error):
                raise BrokenPipeError(errno.EPIPE, "the reader has enough") from error
            raise Failed(unwritable(error)) from error
        except KeyboardInterrupt:
            forget(self._stream)  # if nothing reads the pipe, the rest of the line would block the end too
            raise

    def _write(self, clean: List[Tuple[str, str]]) -> None:
        if self._rich is None:
            self._stream.write("".join(text for text, _ in clean) + "\n")
        else:
            from rich.text import Text

            line = Text.assemble(*((text, STYLES.get(style, "")) for text, style in clean))
            self._rich.print(line, soft_wrap=True, highlight=False)
        self._stream.flush()

    def _clean(self, span: Span) -> Tuple[str, str]:
        text, style = (span, "") if isinstance(span, str) else span
        text = hide(text, self._secrets)
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            text = text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
        return text, style


def is_closed_pipe(error: OSError) -> bool:
    """Return True if the output goes to a pipe whose reader has ended. Windows may call that an invalid argument."""
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL)


def unwritable(error: OSError) -> str:
    """Return the text for an output that can't be written."""
    return f"can't write the output: {error.strerror or error}"


def print_error(text: str) -> None:
    """Print a line on standard error. No-op if that can't be written."""
    try:
        sys.stderr.write(f"{text}\n")  # in one piece: Django's standard error ends each piece with a line break
        sys.stderr.flush()
    except OSError:
        forget(sys.stderr)


def forget(stream: TextIO) -> None:
    """Discard what the stream has not written yet, so that the flush at exit neither fails nor blocks."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return the text without the secrets. Ignores secrets of a few letters, which would garble words."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, HIDDEN)
    return text


def one_line(text: object) -> str:
    """Return the text without line breaks and control characters, so that a server can't control the terminal."""
    words: List[str] = "".join(sign if _is_harmless(sign) else " " for sign in str(text)).split()
    return " ".join(words)


def visible(text: str) -> str:
    """Return other users' text for one line of a terminal: escaped, and cut to length."""
    signs = (sign if _is_harmless(sign) else sign.encode("unicode_escape").decode() for sign in text[:_LONGEST])
    return "".join(signs) + ("…" if len(text) > _LONGEST else "")


def _is_harmless(sign: str) -> bool:
    # The two joiners, in emoji such as a family and in Persian words, are not printable in Python's sense.
    return sign.isprintable() or sign in "\u200c\u200d"


def _wants_colour(stream: TextIO) -> bool:
    """Return whether to print colours: ``NO_COLOR`` decides first, then ``FORCE_COLOR``, then the stream."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def _rich_console(stream: TextIO) -> Any:
    """Return a rich console; None without rich."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=stream, force_terminal=True)
