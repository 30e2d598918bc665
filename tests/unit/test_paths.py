"""checked_path: paths that users give."""

from __future__ import annotations

import enum
import errno
import os
from pathlib import Path
from typing import Any

import pytest
from rows import each_row

from cometchat import CometChatException
from cometchat._paths import checked_path, make_folder


class Name(str, enum.Enum):
    """A path in an enum."""

    DATABASE = "/tmp/in-an-enum.db"


@pytest.mark.parametrize(
    "value, path",
    [
        (None, None),
        ("/tmp/x.db", "/tmp/x.db"),
        (Path("/tmp/x.db"), "/tmp/x.db"),
        ("x.db", "{cwd}/x.db"),
        ("~/x.db", "{home}/x.db"),
        (Path("~/x.db"), "{home}/x.db"),
        ("~", "{home}"),
        ("./~x.db", "{cwd}/~x.db"),
        ("./file:x.db", "{cwd}/file:x.db"),
        ("c://x.db", "{cwd}/c:/x.db"),  # on Windows a drive
        (Name.DATABASE, "/tmp/in-an-enum.db"),
    ],
)
def test_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: Any, path: Any) -> None:
    """A path becomes absolute, and ``~`` is the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    found = checked_path("outbox_path", value)
    assert found == (path and path.format(cwd=tmp_path, home=tmp_path / "home"))
    assert type(found) in (str, type(None))


@each_row(
    "value, says",
    [
        ("", "the path of a file"),
        (5, "got int"),
        (b"x.db", "got bytes"),
        ("a\0b", "the path of a file"),
        ("\ud800", "the path of a file"),
        (":memory:", "leave outbox_path out"),
        (Path(":memory:"), "leave outbox_path out"),
        ("file:x.db?mode=memory", "not a URI"),
        ("FILE:///tmp/x.db", "not a URI"),
        ("sqlite:///x.db", "not a URI"),
        ("~nobody-has-this-name/x.db", "of an existing user"),
        (os.getcwd(), "the path of a file"),
    ],
)
def test_wrong_paths(value: Any, says: str) -> None:
    """The error has the name of the field, and the right values."""
    with pytest.raises(CometChatException, match=says) as caught:
        checked_path("outbox_path", value)
    assert (caught.value.code, caught.value.name) == ("INVALID_OUTBOX_PATH", "outbox_path")


def test_a_folder_where_one_is_allowed(tmp_path: Path) -> None:
    """A CA bundle may be a folder. The caller's text names the right values."""
    assert checked_path("ca_certs", tmp_path, "give a CA bundle", folder=True) == str(tmp_path)
    with pytest.raises(CometChatException, match="give a CA bundle"):
        checked_path("ca_certs", tmp_path, "give a CA bundle")


@pytest.mark.skipif(os.name != "posix", reason="Windows does not remove the working folder of a process")
def test_a_relative_path_without_a_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If the working folder was removed, a relative path is refused, and an absolute one is not."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(CometChatException, match="the working folder is gone") as caught:
        checked_path("outbox_path", "x.db")
    assert caught.value.code == "INVALID_OUTBOX_PATH"
    assert checked_path("outbox_path", "/tmp/x.db") == "/tmp/x.db"


def test_a_folder_on_a_disk_that_syncs_no_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Some network file systems refuse it (EINVAL). The folders are made all the same."""

    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    make_folder(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()
