"""The outbox's store: ordered, without doubles, bounded, on the disk, for several processes."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import multiprocessing
import os
import sqlite3
import stat
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

from cometchat import CometChatException
from cometchat._log import SafeLog
from cometchat._runtime.account._session import Owner
from cometchat._runtime.outbox import MESSAGE, RECEIPT, Item, OutboxStore, _store
from cometchat._runtime.storage import _file_lock, _sqlite_file
from cometchat._runtime.storage._file_lock import FileLock

ME = Owner("app", "u1")
OTHER = Owner("app", "u2")

LIMIT = 1000
LOG = SafeLog(logging.getLogger("cometchat.outbox"), lambda: "client 1")


def open_store(path: Any = None, **more: Any) -> OutboxStore:
    return OutboxStore(None if path is None else str(path), log=LOG, **more)


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Optional[str]:
    return None if request.param == "memory" else str(tmp_path / "new" / "outbox.db")


@pytest.fixture
def store(path: Optional[str]) -> Iterator[OutboxStore]:
    made = open_store(path, wall_clock=lambda: 1000.5)
    yield made
    made.close()


def put(store: OutboxStore, *numbers: int, owner: Owner = ME, kind: str = MESSAGE, limit: int = LIMIT) -> None:
    for number in numbers:
        store.put(owner, kind, f"m{number}", {"number": number}, limit)


def numbers(store: OutboxStore, owner: Owner = ME, kinds: Any = (MESSAGE, RECEIPT), count: int = LIMIT) -> List[int]:
    return [item.body["number"] for item in store.head(owner, kinds, count)]


def first(store: OutboxStore) -> Item:
    return store.head(ME, (MESSAGE, RECEIPT), 1)[0]


def test_in_the_order_of_putting(store):
    """The head is the oldest items. After a removal the next one follows."""
    put(store, 3, 1, 2)
    assert numbers(store) == [3, 1, 2]
    assert numbers(store, count=2) == [3, 1]
    store.remove(first(store))
    assert numbers(store) == [1, 2]
    assert store.pending(ME) == 2
    if store.path is not None:
        with closing(open_store(store.path)) as other:
            assert other.pending(ME) == 2  # although it has not yet opened the file


def test_an_item_has_the_values_of_its_put(store):
    """An item has its kind, muid, body in any characters, and the time."""
    body = {"number": 1, "text": "\u20ac \U0001f600 \x00 \ud800", "inner": [1, {"a": None}]}
    store.put(ME, MESSAGE, "muid-1", body, LIMIT)
    item = first(store)
    assert (item.kind, item.muid, item.body, item.put_at) == (MESSAGE, "muid-1", body, 1000.5)


def test_each_owner_has_items_of_its_own(store):
    """Another user or app neither reads nor counts them."""
    put(store, 1)
    put(store, 1, 2, owner=OTHER)
    put(store, 1, owner=Owner("app2", "u1"))
    assert (store.pending(ME), store.pending(OTHER)) == (1, 2)
    assert numbers(store, OTHER) == [1, 2]


def test_kinds_can_be_left_out(store):
    """Kinds that throttling stops do not block the rest."""
    put(store, 1, kind=RECEIPT)
    put(store, 2)
    assert numbers(store, kinds=(MESSAGE,)) == [2]
    assert numbers(store) == [1, 2]


def test_the_same_muid_is_taken_once(store):
    """A second put of the same message is a no-op, also in a full outbox."""
    put(store, 1, 2, limit=2)
    put(store, 1, 2, 1, limit=2)
    assert numbers(store) == [1, 2]


def test_full(store):
    """One item too many is ERR_OUTBOX_FULL, with their number. Later there is room again."""
    put(store, 1, 2, 3, limit=3)
    with pytest.raises(CometChatException) as caught:
        put(store, 4, limit=3)
    assert caught.value.code == "ERR_OUTBOX_FULL" and "3 items" in caught.value.message
    put(store, 4, owner=OTHER, limit=3)
    store.remove(first(store))
    put(store, 4, limit=3)
    assert numbers(store) == [2, 3, 4]


def test_dead_letters(store):
    """A buried item is not pending. It can be read, tried again as the newest, and discarded."""
    put(store, 1, 2)
    item = first(store)
    store.bury(ME, item, CometChatException("ERR_X", "no", details="why"))
    assert numbers(store) == [2]
    (dead,) = store.dead(ME)
    assert dead == (item, 1000.5, "ERR_X", "no", "why")
    assert store.dead(OTHER) == []
    assert not store.revive(OTHER, "m1") and not store.discard(OTHER, "m1")
    assert store.revive(ME, "m1")
    assert (numbers(store), store.dead(ME)) == ([2, 1], [])
    assert not store.revive(ME, "m1")
    store.bury(ME, store.head(ME, (MESSAGE,), 2)[1], CometChatException("ERR_Y", "again"))
    assert store.dead(ME)[0].details is None
    assert store.discard(ME, "m1")
    assert not store.discard(ME, "m1")
    assert store.dead(ME) == []


def test_a_dead_letter_stays_while_its_muid_waits(store):
    """Another item with the same muid was put in between. Neither of the two is lost."""
    put(store, 1)
    store.bury(ME, first(store), CometChatException("ERR_X", "no"))
    put(store, 1)
    assert not store.revive(ME, "m1")
    assert numbers(store) == [1] and len(store.dead(ME)) == 1


@pytest.mark.parametrize(
    "change",
    [
        "body = '{'",
        "body = '[]'",
        "body = 'null'",
        "body = '{\"a\": 1e999}'",
        "body = '{\"a\": NaN}'",
        "body = x'ff'",
        "body = CAST(x'22ff22' AS TEXT)",
        "body = 5",
        "body = '{\"a\": ' || replace(hex(zeroblob(50000)), '0', '[') || '}'",
        "body = '{\"a\": ' || replace(hex(zeroblob(300)), '0', '[') || replace(hex(zeroblob(300)), '0', ']') || '}'",
        "kind = 'letter'",
        "kind = CAST(x'ff' AS TEXT)",
        "muid = CAST(x'ff' AS TEXT)",
        "muid = x'ff'",
    ],
)
def test_a_damaged_item_can_be_read_and_buried(store, change):
    """An item with any damage can be read, and becomes a dead letter. The others are unaffected."""
    put(store, 1, 2, 3)
    store._connection.execute(f"UPDATE items SET {change} WHERE muid = 'm2'")
    items = store.head(ME, (MESSAGE,), LIMIT)
    assert [item.damage is None for item in items] == [True, False, True]
    assert [item.body.get("number") for item in (items[0], items[2])] == [1, 3]
    damaged = items[1]
    store.bury(ME, damaged, CometChatException("ERR_OUTBOX_STORE", "damaged"))
    assert numbers(store) == [1, 3]
    (dead,) = store.dead(ME)
    assert (dead.item.muid, dead.code) == (damaged.muid, "ERR_OUTBOX_STORE")
    assert store.discard(ME, damaged.muid)
    assert store.dead(ME) == []


def test_damaged_times_are_read(store):
    """A damaged time is 0. The rest of the item is read."""
    put(store, 1, 2)
    store._connection.execute("UPDATE items SET put_at = 'noon' WHERE muid = 'm1'")
    assert [(item.put_at, item.damage) for item in store.head(ME, (MESSAGE,), 2)] == [(0.0, None), (1000.5, None)]
    store.bury(ME, first(store), CometChatException("ERR_X", "no"))
    store._connection.execute("UPDATE dead_letters SET failed_at = x'00', message = x'00', details = x'00'")
    (dead,) = store.dead(ME)
    assert (dead.failed_at, dead.message) == (0.0, repr(b"\x00"))


def nested(depth: int, *, of: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = of(value)
    return value


@pytest.mark.parametrize("depth", [_store.MAX_NESTING, 2000, 200_000])
def test_data_nested_too_deeply_is_refused(store, depth):
    """put() raises an exception of the SDK, and stores nothing."""
    for of in (lambda inner: [inner], lambda inner: {"a": inner}):
        with pytest.raises(CometChatException) as caught:
            store.put(ME, MESSAGE, "deep", {"a": nested(depth, of=of)}, LIMIT)
        assert caught.value.code == "INVALID_MESSAGE"
    assert store.pending(ME) == 0


def test_data_nested_as_deep_as_allowed_can_be_read(store):
    """Data that put() accepts can be read and written again."""
    body = {"a": nested(_store.MAX_NESTING - 1), "b": nested(_store.MAX_NESTING - 1, of=lambda inner: {"c": inner})}
    store.put(ME, MESSAGE, "deep", body, LIMIT)
    item = first(store)
    assert item.damage is None and json.dumps(item.body) == json.dumps(body)


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}], ids=["object", "nan", "set"])
def test_data_that_is_not_json_is_refused(store, value):
    """put() raises INVALID_MESSAGE."""
    with pytest.raises(CometChatException) as caught:
        store.put(ME, MESSAGE, "m", {"a": value}, LIMIT)
    assert caught.value.code == "INVALID_MESSAGE"


@pytest.mark.skipif(not hasattr(sys, "set_int_max_str_digits"), reason="this Python has no limit of digits")
def test_a_number_of_too_many_digits_is_refused(store):
    """A number that Python refuses to write raises INVALID_MESSAGE."""
    with pytest.raises(CometChatException) as caught:
        store.put(ME, MESSAGE, "m", {"a": 10**5000}, LIMIT)
    assert caught.value.code == "INVALID_MESSAGE"


def test_dead_letters_are_bounded(path):
    """A user keeps a number of dead letters, the newest ones. Those of other users do not count."""
    store = open_store(path, max_dead=3)
    put(store, 9, owner=OTHER)
    store.bury(OTHER, store.head(OTHER, (MESSAGE,), 1)[0], CometChatException("ERR_X", "no"))
    dropped = []
    for number in range(10):
        put(store, number)
        dropped.append(store.bury(ME, first(store), CometChatException("ERR_X", "no")))
    assert [dead.item.muid for dead in store.dead(ME)] == ["m7", "m8", "m9"]
    assert len(store.dead(OTHER)) == 1
    assert dropped == [0] * 3 + [1] * 7
    store.close()


def test_dead_letters_of_a_clock_that_was_ahead(path):
    """They do not replace the dead letters after it, once the clock is right."""
    now = [1e9 + 1e8]
    store = open_store(path, max_dead=3, wall_clock=lambda: now[0])
    for number in range(1, 7):
        put(store, number)
        if number == 4:
            now[0] = 1e9
        store.bury(ME, first(store), CometChatException("ERR_X", "no"))
    assert [dead.item.muid for dead in store.dead(ME)] == ["m4", "m5", "m6"]
    store.close()


def test_dead_letters_age(path):
    """A dead letter is kept for 30 days."""
    now = [1000.0]
    store = open_store(path, wall_clock=lambda: now[0])
    assert store.dead(ME) == []
    put(store, 1, 2)
    store.bury(ME, first(store), CometChatException("ERR_X", "no"))
    now[0] += _store.MAX_DEAD_AGE
    assert len(store.dead(ME)) == 1
    now[0] += 1
    assert store.dead(ME) == []
    assert store.bury(ME, first(store), CometChatException("ERR_X", "no")) == 1
    assert [dead.item.muid for dead in store.dead(ME)] == ["m2"]
    store.close()


def test_an_error_in_any_characters_can_be_kept(store):
    """The text of an error may have half a surrogate pair, which SQLite refuses."""
    put(store, 1)
    store.bury(ME, first(store), CometChatException("ERR_\ud800", "no \udfff", details="\ud800"))
    (dead,) = store.dead(ME)
    assert (dead.code, dead.message, dead.details) == ("ERR_\\ud800", "no \\udfff", "\\ud800")


def test_no_cursor_is_left_open(store, monkeypatch):
    """Without reference counting, a cursor that is not closed breaks the next transaction."""
    cursors: List[sqlite3.Cursor] = []

    class Watched(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            cursors.append(super().execute(*args))
            return cursors[-1]

        def executescript(self, script: str) -> sqlite3.Cursor:
            cursors.append(super().executescript(script))
            return cursors[-1]

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **named: real(*args, factory=Watched, **named))
    put(store, 1, 2, 3)
    store.remove(first(store))
    store.bury(ME, first(store), CometChatException("ERR_X", "no"))
    store.revive(ME, "m2")
    store.discard(ME, "m2")
    store.pending(ME)
    store.dead(ME)
    store.has_changed()
    with pytest.raises(CometChatException):
        put(store, 8, 9, limit=1)
    assert len(cursors) > 20
    for cursor in cursors:
        with pytest.raises(sqlite3.ProgrammingError, match="closed cursor"):
            cursor.fetchone()


def test_from_many_threads(store):
    """All items of many threads are there, those of one thread in their order."""

    def work(base: int) -> None:
        put(store, *range(base, base + 50))

    threads = [threading.Thread(target=work, args=(base,)) for base in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    found = numbers(store)
    assert sorted(found) == list(range(400))
    for base in range(0, 400, 50):
        assert [number for number in found if base <= number < base + 50] == list(range(base, base + 50))


def test_closed(store):
    """After close() every call is ERR_CLIENT_CLOSED, and a second close is a no-op."""
    put(store, 1)
    store.close()
    store.close()
    for call in (lambda: put(store, 2), lambda: store.pending(ME), lambda: store.head(ME, (MESSAGE,), 1)):
        with pytest.raises(CometChatException) as caught:
            call()
        assert caught.value.code == "ERR_CLIENT_CLOSED"


def test_never_used_leaves_nothing(tmp_path):
    """An unused store has made no file."""
    open_store(str(tmp_path / "o.db")).close()
    assert list(tmp_path.iterdir()) == []


# Files.


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> Dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_only_the_owner_can_read_it(tmp_path, no_umask):
    """For any umask, the file, SQLite's files beside it and the locks have mode 0600, and a new folder 0700."""
    path = tmp_path / "new" / "o.db"
    store = open_store(path)
    put(store, 1)
    with store.delivery_lock(ME) as lock:
        assert lock.acquire()
    found = modes(path.parent)
    assert {"o.db", "o.db-wal", "o.db-shm", "o.db.lock"} < set(found) and set(found.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    store.close()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_file_that_others_can_read_is_made_private(tmp_path, no_umask):
    """A file of an older version, or one made by hand, gets mode 0600, and so do its WAL and its locks."""
    path = tmp_path / "o.db"
    for name in ("o.db", "o.db.lock"):
        (tmp_path / name).touch(0o666)
    store = open_store(path)
    put(store, 1)
    assert set(modes(tmp_path).values()) == {0o600}
    store.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user(tmp_path, monkeypatch):
    """A file that another user has planted is ERR_OUTBOX_STORE. root may use it."""
    path = tmp_path / "o.db"
    path.touch(0o666)
    os.chown(path, 12345, 12345)
    store = open_store(path)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(CometChatException, match="belongs to another user") as caught:
        put(store, 1)
    assert caught.value.code == "ERR_OUTBOX_STORE"
    monkeypatch.undo()
    put(store, 1)
    store.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a link away")
def test_a_link_of_another_user(tmp_path):
    """In a shared folder another user may point it to any place: it is ERR_OUTBOX_STORE. An own link is followed."""
    (tmp_path / "o.db").symlink_to(tmp_path / "target")
    os.chown(tmp_path / "o.db", 12345, 12345, follow_symlinks=False)
    store = open_store(tmp_path / "o.db")
    for use in (lambda: put(store, 1), lambda: store.delivery_lock(ME)):
        with pytest.raises(CometChatException, match="link that belongs to another user") as caught:
            use()
        assert caught.value.code == "ERR_OUTBOX_STORE"
    assert os.listdir(tmp_path) == ["o.db"]
    os.chown(tmp_path / "o.db", 0, 0, follow_symlinks=False)
    put(store, 1)
    assert (tmp_path / "target").is_file() and (tmp_path / "o.db").is_symlink()
    store.close()


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system can't refuse to follow a link")
def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path):
    """Another user may have put it there: it is ERR_OUTBOX_STORE, and its target does not change."""
    (tmp_path / "o.db.lock").symlink_to(tmp_path / "target")
    store = open_store(tmp_path / "o.db")
    with pytest.raises(CometChatException) as caught:
        put(store, 1)
    assert caught.value.code == "ERR_OUTBOX_STORE"
    assert not (tmp_path / "target").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_refused(tmp_path):
    """Anything but a file is ERR_OUTBOX_STORE, and does not hang."""
    os.mkfifo(tmp_path / "o.db")
    with pytest.raises(CometChatException, match="not a regular file") as caught:
        put(open_store(tmp_path / "o.db"), 1)
    assert caught.value.code == "ERR_OUTBOX_STORE"


@pytest.mark.skipif(os.name != "posix", reason="links need special rights on other systems")
def test_a_linked_file_has_one_lock(tmp_path):
    """Two names of one file lead to one database and one delivery lock."""
    (tmp_path / "link.db").symlink_to(tmp_path / "o.db")
    one, two = open_store(tmp_path / "link.db"), open_store(tmp_path / "o.db")
    put(one, 1)
    put(two, 2)
    assert numbers(one) == numbers(two) == [1, 2]
    with one.delivery_lock(ME) as lock:
        assert lock.acquire()
        assert not two.delivery_lock(ME).acquire()
    one.close()
    two.close()


def remove_all(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def remove_database(path: Path) -> None:
    path.unlink()


def remove_wal(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def replace(path: Path) -> None:
    copy = open_store(path.parent / "copy.db")
    put(copy, 100)
    copy.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    os.replace(path.parent / "copy.db", path)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems remove open files")
@pytest.mark.parametrize("act", [remove_all, remove_database, remove_wal, replace])
def test_a_file_that_is_removed_while_it_is_in_use(tmp_path, act, caplog):
    """The next process finds later items. A warning says that the earlier ones are lost."""
    path = tmp_path / "folder" / "o.db"
    store = open_store(path)
    put(store, 1)
    act(path)
    put(store, 2, 3)
    other = open_store(path)
    assert {2, 3} <= set(numbers(other))
    assert numbers(store) == numbers(other)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(path) in caplog.text and "deleted or replaced" in caplog.text
    other.close()
    store.close()


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems remove open files")
def test_the_items_of_a_new_file_have_the_ids_of_the_old_ones(tmp_path):
    """The removal or burial of an item of the deleted file does not reach an item of the new file."""
    path = tmp_path / "folder" / "o.db"
    store, other = open_store(path), open_store(path)
    put(store, 1, 2)
    sent, refused = store.head(ME, (MESSAGE,), LIMIT)
    remove_all(path)
    put(other, 3, 4)
    assert [item.id for item in other.head(ME, (MESSAGE,), LIMIT)] == [sent.id, refused.id]
    store.remove(sent)
    store.bury(ME, refused, CometChatException("ERR_TOO_LONG", "too long"))
    assert numbers(other) == [3, 4] and other.dead(ME) == []
    other.close()
    store.close()


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems remove open files")
def test_a_file_that_is_removed_within_a_put(tmp_path, monkeypatch):
    """The file is removed after the item was written and before put() returns. The item is put again."""
    path = tmp_path / "folder" / "o.db"
    store = open_store(path)
    put(store, 1)
    real = OutboxStore._is_in_place
    looks: List[bool] = []

    def look(self: OutboxStore) -> bool:
        if len(looks) == 1:  # the first time is at the start
            remove_all(path)
        looks.append(real(self))
        return looks[-1]

    monkeypatch.setattr(OutboxStore, "_is_in_place", look)
    put(store, 2)
    assert looks == [True, False, False, True]
    other = open_store(path)
    assert numbers(other) == [2]
    other.close()
    store.close()


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems remove open files")
def test_a_file_that_is_removed_again_and_again(tmp_path, monkeypatch):
    """put() does not return as if the item were stored: ERR_OUTBOX_STORE."""
    path = tmp_path / "folder" / "o.db"
    store = open_store(path)
    real = OutboxStore._is_in_place

    def look(self: OutboxStore) -> bool:
        remove_all(path)
        return real(self)

    monkeypatch.setattr(OutboxStore, "_is_in_place", look)
    with pytest.raises(CometChatException, match="deleted or replaced") as caught:
        put(store, 1)
    assert caught.value.code == "ERR_OUTBOX_STORE"
    store.close()


def test_has_changed(tmp_path):
    """has_changed() returns True once after another connection has written, and not after its own writes."""
    one, two = open_store(tmp_path / "o.db"), open_store(tmp_path / "o.db")
    assert one.has_changed()
    assert not one.has_changed()
    put(one, 1)
    assert not one.has_changed()
    put(two, 2)
    assert one.has_changed()
    assert not one.has_changed()
    one.close()
    two.close()


def test_an_own_connection_keeps_its_hold_on_the_file(tmp_path):
    """A second connection of this process does not release the locks of the first: no other process may end its WAL."""
    path = tmp_path / "o.db"
    one = open_store(path)
    put(one, 1)
    two = open_store(path)
    put(two, 2)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_put_in_a_process, args=(str(path), 1000))
    process.start()
    process.join(50)
    assert process.exitcode == 0
    assert Path(f"{path}-wal").exists()
    put(one, 3)
    two.close()
    one.close()
    three = open_store(path)
    assert {1, 2, 3} < set(numbers(three, count=10_000))
    three.close()


def test_a_commit_waits_for_the_disk(tmp_path):
    """put() is durable (WAL, synchronous=FULL). Removal need not be (NORMAL)."""
    for durable, level in ((True, 2), (False, 1)):
        store = open_store(str(tmp_path / "o.db"), durable=durable)
        put(store, 1)
        connection = store._connection
        assert connection is not None
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        store.close()


def test_it_outlives_its_process(tmp_path):
    """A second store on the file has the items of the first one."""
    one = open_store(str(tmp_path / "o.db"))
    put(one, 1, 2)
    two = open_store(str(tmp_path / "o.db"))
    assert numbers(two) == [1, 2]
    two.remove(first(two))
    assert numbers(one) == [2]
    one.close()
    two.close()


def _put_in_a_process(path: str, base: int) -> None:
    store = open_store(path)
    put(store, *range(base, base + 100))
    store.close()


def test_from_many_processes(tmp_path):
    """Processes that make and fill one file at the same time lose no item and raise no error."""
    path = str(tmp_path / "o.db")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_put_in_a_process, args=(path, base)) for base in range(0, 400, 100)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(50)
    assert [process.exitcode for process in processes] == [0] * 4
    store = open_store(path)
    assert sorted(numbers(store)) == list(range(400))
    store.close()


@pytest.mark.parametrize("content", [b"no database at all", b"\x00" * 5000], ids=["text", "zeros"])
def test_a_damaged_file_is_reported(tmp_path, content):
    """A file that is not a database is ERR_OUTBOX_STORE with its path and cause, and does not change."""
    path = tmp_path / "o.db"
    path.write_bytes(content)
    path.chmod(0o644)
    store = open_store(str(path))
    with pytest.raises(CometChatException) as caught:
        put(store, 1)
    assert caught.value.code == "ERR_OUTBOX_STORE" and str(path) in caught.value.message
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    assert path.read_bytes() == content
    # As root, a wrong path could lock all other users out of a file of the system.
    assert os.name != "posix" or stat.S_IMODE(path.stat().st_mode) == 0o644
    store.close()


def test_a_database_of_another_program(tmp_path):
    """It is ERR_OUTBOX_STORE with the reason, and neither the file nor its mode changes."""
    path = tmp_path / "o.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text)")
    path.chmod(0o644)
    before = path.read_bytes()
    store = open_store(path)
    assert "a database of another program" in raised_by(lambda: put(store, 1)).message
    assert path.read_bytes() == before and {file.name for file in tmp_path.iterdir()} == {"o.db", "o.db.lock"}
    assert os.name != "posix" or stat.S_IMODE(path.stat().st_mode) == 0o644
    store.close()


def test_a_path_that_can_not_be(tmp_path):
    """A path below a file is ERR_OUTBOX_STORE, with the system's reason."""
    (tmp_path / "file").write_text("")
    store = open_store(str(tmp_path / "file" / "o.db"))
    with pytest.raises(CometChatException) as caught:
        put(store, 1)
    assert caught.value.code == "ERR_OUTBOX_STORE"
    assert isinstance(caught.value.__cause__, OSError)


def test_a_failed_burial_changes_nothing(tmp_path):
    """Both steps of a burial happen, or neither."""
    store = open_store(str(tmp_path / "o.db"))
    put(store, 1)
    with pytest.raises(CometChatException):
        store.bury(ME, first(store), CometChatException("ERR", None))  # type: ignore[arg-type]
    assert (numbers(store), store.dead(ME)) == ([1], [])
    store.close()


# The permission to send.


def _hold(path: str, taken: Any, done: Any) -> None:
    lock = open_store(path).delivery_lock(ME)
    assert lock.acquire()
    taken.set()
    done.wait(30)
    os._exit(9)


def test_one_at_a_time(tmp_path):
    """An owner's turn excludes others from that owner, and not from another one. It ends with release()."""
    store, another = open_store(str(tmp_path / "o.db")), open_store(str(tmp_path / "o.db"))
    put(store, 1)
    with store.delivery_lock(ME) as lock:
        assert lock.acquire()
        assert not another.delivery_lock(ME).acquire()
        with another.delivery_lock(OTHER) as other:
            assert other.acquire()
    with another.delivery_lock(ME) as lock:
        assert lock.acquire()
    store.close()
    another.close()


def test_the_turn_of_a_dead_process_is_free(tmp_path):
    """A process that ends without a release leaves its turn to the next at once."""
    path = str(tmp_path / "o.db")
    context = multiprocessing.get_context("spawn")
    taken, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(path, taken, done))
    process.start()
    assert taken.wait(30)
    lock = open_store(path).delivery_lock(ME)
    assert not lock.acquire()
    done.set()
    process.join(30)
    assert process.exitcode == 9
    assert lock.acquire()
    lock.release()
    lock.release()


def test_in_memory_there_is_no_turn():
    """There is no other process."""
    with open_store().delivery_lock(ME) as lock:
        assert lock is None


def test_a_lock_whose_file_was_removed_is_not_held(tmp_path, monkeypatch):
    """The file was removed while this one waited. The lock on the new file counts."""
    path = tmp_path / "lock"
    lock = FileLock(str(path), threading.RLock(), "outbox", "ERR_OUTBOX_STORE")
    real, calls = _file_lock._lock, []

    def late(descriptor: int) -> bool:
        if not calls:
            path.unlink()
        calls.append(descriptor)
        return real(descriptor)

    monkeypatch.setattr(_file_lock, "_lock", late)
    assert lock.acquire()
    assert len(calls) == 2 and os.path.samestat(os.fstat(lock._descriptor), path.stat())
    lock.release()


def test_a_released_lock_is_free_although_a_copy_of_its_descriptor_is_open(tmp_path):
    """A child that is forked just as the file is opened has a copy that it does not know, and waited for itself."""
    first, second = [FileLock(str(tmp_path / "lock"), threading.RLock(), "outbox", "ERR_OUTBOX_STORE") for _ in "12"]
    assert first.acquire()
    copy = os.dup(first._descriptor)
    try:
        assert not second.acquire()
        first.release()
        assert second.acquire()
        second.release()
    finally:
        os.close(copy)


def test_a_lock_that_can_not_be_made(tmp_path):
    """Without a folder for the lock's file, the error is ERR_OUTBOX_STORE."""
    with pytest.raises(CometChatException) as caught:
        FileLock(str(tmp_path / "no" / "lock"), threading.RLock(), "outbox", "ERR_OUTBOX_STORE").acquire()
    assert caught.value.code == "ERR_OUTBOX_STORE"


def test_a_file_that_the_system_can_not_lock(tmp_path, monkeypatch):
    """The database is not opened without its lock, and no other process holds the turn to send.

    The error is ERR_OUTBOX_STORE, with the system's reason.
    """
    store = open_store(str(tmp_path / "o.db"))

    def no_locks(*_: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(_file_lock.fcntl, "flock", no_locks)
    for use in (lambda: put(store, 1), lambda: store.delivery_lock(ME).acquire()):
        with pytest.raises(CometChatException, match="no locks available") as caught:
            use()
        assert caught.value.code == "ERR_OUTBOX_STORE"
    assert store._opening._descriptor is store._owned._descriptor is None


def held(path: Path) -> int:
    """Lock a file as a process does while it opens it. Returns the lock's descriptor."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_a_process_that_is_stopped_while_it_opens_the_file(tmp_path, monkeypatch):
    """A put() does not wait for it without end: ERR_OUTBOX_STORE. Later it works."""
    monkeypatch.setattr(_sqlite_file, "_OPENING", 0.05)
    store = open_store(str(tmp_path / "o.db"))
    descriptor = held(tmp_path / "o.db")
    outcome: List[Any] = []
    putting = threading.Thread(target=lambda: outcome.append(raised_by(lambda: put(store, 1))), daemon=True)
    putting.start()
    putting.join(20)
    assert not putting.is_alive()
    assert outcome[0].code == "ERR_OUTBOX_STORE" and "another process has been opening it" in outcome[0].message
    os.close(descriptor)
    put(store, 1)
    assert numbers(store) == [1]
    store.close()


def test_the_end_of_a_store_that_waits_for_another_process(tmp_path):
    """close() ends the wait at once: ERR_CLIENT_CLOSED."""
    store = open_store(str(tmp_path / "o.db"))
    descriptor = held(tmp_path / "o.db")
    outcome: List[Any] = []
    putting = threading.Thread(target=lambda: outcome.append(raised_by(lambda: put(store, 1))), daemon=True)
    putting.start()
    store.close()
    putting.join(20)
    os.close(descriptor)
    assert not putting.is_alive() and outcome[0].code == "ERR_CLIENT_CLOSED"


def raised_by(call: Callable[[], object]) -> CometChatException:
    with pytest.raises(CometChatException) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("name", ["_unlock", "release"])
def test_a_lock_whose_release_fails(tmp_path, monkeypatch, name):
    """Without memory the release of a lock may fail. The next call does not wait for its own process."""
    monkeypatch.setattr(_sqlite_file, "_OPENING", 0.05)
    store = open_store(tmp_path / "o.db")

    def fail(*_: object) -> None:
        raise MemoryError

    def hold() -> bool:
        with store.delivery_lock(ME) as lock:
            return bool(lock.acquire())

    for use in (lambda: put(store, 1), hold):
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(_file_lock if name == "_unlock" else FileLock, name, fail)
            use()
    assert hold()
    put(store, 2)
    assert numbers(store)[-1] == 2
    store.close()


FAILURES = {
    # SQLite itself makes the rollback, as after some errors of the disk.
    "the change": "CREATE TRIGGER t BEFORE INSERT ON dead_letters BEGIN SELECT RAISE(ROLLBACK, 'disk trouble'); END",
    # The transaction stays open, as if another process kept the file busy.
    "the commit": """
        PRAGMA foreign_keys = ON;
        CREATE TABLE one (x PRIMARY KEY);
        CREATE TABLE other (x CONSTRAINT disk_trouble REFERENCES one (x) DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER t AFTER INSERT ON dead_letters BEGIN INSERT INTO other VALUES (1); END;
    """,
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_a_transaction_that_fails(tmp_path, failure):
    """The error is the reason, not that of the rollback. Nothing has changed, and no transaction stays open."""
    store, other = open_store(tmp_path / "o.db"), open_store(tmp_path / "o.db")
    put(store, 1)
    assert store._connection is not None
    store._connection.executescript(failure)
    error = raised_by(lambda: store.bury(ME, first(store), CometChatException("X", "x")))
    assert error.code == "ERR_OUTBOX_STORE" and ("disk trouble" in error.message or "FOREIGN KEY" in error.message)
    assert numbers(store) == numbers(other) == [1] and store.dead(ME) == []
    put(store, 2)
    put(other, 3)
    assert numbers(other) == [1, 2, 3]
    other.close()
    store.close()


def test_a_folder_that_can_not_be_read_for_a_while(tmp_path, monkeypatch, caplog):
    """The file is neither deleted nor replaced, so no warning says that its items are lost."""
    path = str(tmp_path / "o.db")
    store = open_store(path)
    put(store, 1)

    def denied(name: Any, **options: Any) -> Any:
        raise PermissionError(errno.EACCES, "no right", name)

    with monkeypatch.context() as patch:
        patch.setattr(_sqlite_file.os, "stat", denied)
        assert "no right" in raised_by(lambda: put(store, 2)).message
    put(store, 3)
    assert numbers(store) == [1, 3] and caplog.records == []
    store.close()


# Forks.


def test_it_is_not_used_during_a_fork(tmp_path):
    """Between pause and resume the file is closed and a put waits. Afterwards it continues."""
    store = open_store(tmp_path / "o.db")
    put(store, 1)
    store.pause_for_fork()
    assert store._connection is None
    putting = threading.Thread(target=put, args=(store, 2))
    putting.start()
    putting.join(0.05)
    assert putting.is_alive()
    store.resume_after_fork()
    store.resume_after_fork()
    putting.join(30)
    assert numbers(store) == [1, 2]
    store.close()


def test_items_in_memory_outlive_a_fork():
    """There is no file to close: the parent's items stay the parent's."""
    store = open_store()
    put(store, 1)
    store.pause_for_fork()
    store.resume_after_fork()
    assert numbers(store) == [1]
    store.close()


def hold(store: OutboxStore) -> Callable[[], None]:
    """Let another thread hold the store's lock. Returns an event that ends that."""
    held, end = threading.Event(), threading.Event()

    def work() -> None:
        with store._lock:
            held.set()
            end.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    assert held.wait(30)

    def release() -> None:
        end.set()
        thread.join(30)

    return release


def test_a_fork_does_not_wait_forever(monkeypatch):
    """If another thread's statement does not end, the fork continues after a while, and no lock stays held."""
    monkeypatch.setattr(_sqlite_file, "_PAUSE", 0.01)
    store = open_store()
    release = hold(store)
    store.pause_for_fork()
    store.resume_after_fork()
    release()
    in_other_thread(lambda: put(store, 1))
    assert numbers(store) == [1]
    store.close()


def in_other_thread(work: Callable[[], Any]) -> None:
    """Run a function to its end on another thread: it must not hang."""
    errors: List[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive() and errors == []


@pytest.mark.parametrize("call", ["open", "close"])
def test_a_fork_does_not_come_between_a_lock_and_its_descriptor(tmp_path, monkeypatch, call):
    """An unknown descriptor would stay open in the child, and with it the lock."""
    store = open_store(tmp_path / "o.db")
    seen: List[str] = []
    begun, never, real = threading.Event(), threading.Event(), getattr(os, call)

    def slow(*values: Any) -> Any:
        begun.set()
        never.wait(0.2)
        result = real(*values)
        seen.append(call)
        return result

    def deliver() -> None:
        with store.delivery_lock(ME) as lock:
            lock.acquire()

    monkeypatch.setattr(os, call, slow)
    delivering = threading.Thread(target=deliver)
    delivering.start()
    assert begun.wait(30)
    store.pause_for_fork()
    seen.append("forked")
    store.resume_after_fork()
    delivering.join(30)
    assert seen == [call, "forked"]


def test_the_child_of_a_fork_releases_its_copy_only(tmp_path):
    """Another process can have the lock as soon as the parent releases it, though the child lives on."""
    store = open_store(tmp_path / "o.db")
    lock = store.delivery_lock(ME)
    assert lock.acquire()
    copy = os.dup(lock._descriptor)  # like the copy of a fork
    child = open_store(store.path)
    child._owned = FileLock(store.path, threading.RLock(), "outbox", "ERR_OUTBOX_STORE")
    child._owned._descriptor = copy
    child.release_after_fork()
    assert not child.delivery_lock(ME).acquire()  # still the parent's
    lock.release()
    with child.delivery_lock(ME) as taken:
        assert taken.acquire()


@pytest.mark.parametrize("path", ["memory", "file"], indirect=True)
def test_pauses_of_one_thread_are_all_undone(store):
    """A store that is paused twice, like one that two objects share, is free after one resume."""
    put(store, 1)
    store.pause_for_fork()
    store.pause_for_fork()
    store.resume_after_fork()
    store.resume_after_fork()
    in_other_thread(lambda: put(store, 2))
    assert numbers(store) == [1, 2]


def test_two_threads_that_fork_at_once(store, monkeypatch):
    """The thread that could not wait does not release the other thread's locks."""
    monkeypatch.setattr(_sqlite_file, "_PAUSE", 0.01)
    put(store, 1)
    store.pause_for_fork()

    def fork_too() -> None:
        store.pause_for_fork()
        store.resume_after_fork()

    in_other_thread(fork_too)
    assert store._lock._is_owned()
    store.resume_after_fork()
    in_other_thread(lambda: put(store, 2))
    assert numbers(store) == [1, 2]


def test_a_file_that_can_not_be_closed_does_not_stop_a_fork(tmp_path):
    """The pause does not raise: its locks would otherwise never be released."""

    class Stuck:
        def close(self) -> None:
            raise sqlite3.OperationalError("unable to close due to unfinalized statements")

    store = open_store(tmp_path / "o.db")
    put(store, 1)
    store._connection.close()
    store._connection = Stuck()
    store.pause_for_fork()
    store.resume_after_fork()
    in_other_thread(lambda: put(store, 2))
    assert numbers(store) == [1, 2]
    store.close()


# Signal handlers.


def inside(store: OutboxStore, call: Callable[[], Any]) -> None:
    """Make a call where a signal handler may: in the middle of another call of the same thread."""
    with store._turn():
        call()


def test_a_call_within_a_call_of_the_same_thread(store):
    """The inner call raises an error that says what to do. Otherwise it would hang."""
    put(store, 1)
    for call in (lambda: put(store, 2), lambda: store.pending(ME), lambda: store.dead(ME)):
        with pytest.raises(CometChatException, match="signal handler.*call it from another thread") as caught:
            inside(store, call)
        assert caught.value.code == "ERR_OUTBOX_STORE"
    assert numbers(store) == [1]


def test_close_within_a_call_of_the_same_thread(store):
    """close() does not wait. The file is closed when the interrupted call is done."""
    put(store, 1)
    with store._turn() as connection:
        store.close()
        assert connection.execute("SELECT count(*) FROM items").fetchone() == (1,)
    assert store._connection is None
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")


def test_close_while_another_thread_uses_it(store, monkeypatch):
    """close() waits for a moment. Then the other thread closes the file when it is done."""
    monkeypatch.setattr(_sqlite_file, "_CLOSE", 0.01)
    put(store, 1)
    release = hold(store)
    store.close()
    assert store._connection is not None
    release()
    with pytest.raises(CometChatException):
        put(store, 2)
    assert store._connection is None


def test_a_fork_within_a_call_of_the_same_thread(store):
    """The interrupted call continues with its connection, in the parent."""
    with store._turn() as connection:
        store.pause_for_fork()
        store.resume_after_fork()
        connection.execute("SELECT 1")
    in_other_thread(lambda: put(store, 2))
