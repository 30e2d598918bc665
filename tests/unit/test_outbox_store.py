"""The outbox's store: in order, once each, bounded, on the disk, for several processes."""

from __future__ import annotations

import errno
import multiprocessing
import os
import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any, Iterator, List, Optional

import pytest

from cometchat import CometChatException
from cometchat._runtime import outbox_store
from cometchat._runtime.outbox_store import MESSAGE, RECEIPT, FileLock, Item, OutboxStore, Owner

ME = Owner("app", "u1")
OTHER = Owner("app", "u2")

LIMIT = 1000


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Optional[str]:
    return None if request.param == "memory" else str(tmp_path / "new" / "outbox.db")


@pytest.fixture
def store(path: Optional[str]) -> Iterator[OutboxStore]:
    made = OutboxStore(path, wall_clock=lambda: 1000.5)
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
    """The head are the oldest items, and a removed one makes place for the next."""
    put(store, 3, 1, 2)
    assert numbers(store) == [3, 1, 2]
    assert numbers(store, count=2) == [3, 1]
    store.remove(first(store))
    assert numbers(store) == [1, 2]
    assert store.pending(ME) == 2


def test_an_item_is_what_was_put(store):
    """Kind, muid, body in any characters, and the time."""
    body = {"number": 1, "text": "\u20ac \U0001f600 \x00 \ud800", "inner": [1, {"a": None}]}
    store.put(ME, MESSAGE, "muid-1", body, LIMIT)
    item = first(store)
    assert (item.kind, item.muid, item.body, item.put_at) == (MESSAGE, "muid-1", body, 1000.5)


def test_each_owner_has_items_of_its_own(store):
    """Another user or app neither sees nor counts them."""
    put(store, 1)
    put(store, 1, 2, owner=OTHER)
    put(store, 1, owner=Owner("app2", "u1"))
    assert (store.pending(ME), store.pending(OTHER)) == (1, 2)
    assert numbers(store, OTHER) == [1, 2]


def test_kinds_can_be_left_out(store):
    """What throttling holds back does not stand before the rest."""
    put(store, 1, kind=RECEIPT)
    put(store, 2)
    assert numbers(store, kinds=(MESSAGE,)) == [2]
    assert numbers(store) == [1, 2]


def test_the_same_muid_is_taken_once(store):
    """A repeated put of the same message changes nothing, when it is full too."""
    put(store, 1, 2, limit=2)
    put(store, 1, 2, 1, limit=2)
    assert numbers(store) == [1, 2]


def test_full(store):
    """One item too many is ERR_OUTBOX_FULL, which says how many there are; room is found again."""
    put(store, 1, 2, 3, limit=3)
    with pytest.raises(CometChatException) as caught:
        put(store, 4, limit=3)
    assert caught.value.code == "ERR_OUTBOX_FULL" and "3 items" in caught.value.message
    put(store, 4, owner=OTHER, limit=3)
    store.remove(first(store))
    put(store, 4, limit=3)
    assert numbers(store) == [2, 3, 4]


def test_dead_letters(store):
    """A buried item is no item any more; it can be looked at, taken up again as the newest, and forgotten."""
    put(store, 1, 2)
    item = first(store)
    store.bury(item, CometChatException("ERR_X", "no", details="why"))
    assert numbers(store) == [2]
    (dead,) = store.dead(ME)
    assert dead == (item, 1000.5, "ERR_X", "no", "why")
    assert store.dead(OTHER) == []
    assert not store.revive(OTHER, "m1") and not store.discard(OTHER, "m1")
    assert store.revive(ME, "m1")
    assert (numbers(store), store.dead(ME)) == ([2, 1], [])
    assert not store.revive(ME, "m1")
    store.bury(store.head(ME, (MESSAGE,), 2)[1], CometChatException("ERR_Y", "again"))
    assert store.dead(ME)[0].details is None
    assert store.discard(ME, "m1")
    assert not store.discard(ME, "m1")
    assert store.dead(ME) == []


def test_a_dead_letter_stays_while_its_muid_waits(store):
    """Another item of the same muid was put meanwhile: neither of the two is lost."""
    put(store, 1)
    store.bury(first(store), CometChatException("ERR_X", "no"))
    put(store, 1)
    assert not store.revive(ME, "m1")
    assert numbers(store) == [1] and len(store.dead(ME)) == 1


@pytest.mark.parametrize("body", ["{", "[]", "null", b"\xff", 5], ids=str)
def test_a_damaged_item_does_not_stand_before_the_rest(store, body, caplog):
    """What can't be read is a dead letter, with a warning; the others are there."""
    put(store, 1, 2, 3)
    store._connection.execute("UPDATE items SET body = ? WHERE muid = 'm2'", (body,))
    assert numbers(store) == [1, 3]
    (dead,) = store.dead(ME)
    assert (dead.item.muid, dead.item.body, dead.code) == ("m2", {}, "ERR_OUTBOX_STORE")
    assert "m2" in caplog.text


def test_from_many_threads(store):
    """Items put by many threads at once are all there, those of one thread in their order."""

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
    """After close() everything is ERR_CLIENT_CLOSED, and closing again is nothing."""
    put(store, 1)
    store.close()
    store.close()
    for call in (lambda: put(store, 2), lambda: store.pending(ME), lambda: store.head(ME, (MESSAGE,), 1)):
        with pytest.raises(CometChatException) as caught:
            call()
        assert caught.value.code == "ERR_CLIENT_CLOSED"


def test_never_used_leaves_nothing(tmp_path):
    """A store that nobody used has made no file."""
    OutboxStore(str(tmp_path / "o.db")).close()
    assert list(tmp_path.iterdir()) == []


# Files.


def test_only_the_owner_can_read_it(tmp_path):
    """Whatever the umask, the file and what SQLite puts beside it have mode 0600, a new folder 0700."""
    path = tmp_path / "new" / "o.db"
    before = os.umask(0)
    try:
        store = OutboxStore(str(path))
        put(store, 1)
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert "o.db-wal" in modes and set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    store.close()


def test_a_commit_waits_for_the_disk(tmp_path):
    """put() is durable (WAL, synchronous=FULL); taking out need not be (NORMAL)."""
    for durable, level in ((True, 2), (False, 1)):
        store = OutboxStore(str(tmp_path / "o.db"), durable=durable)
        put(store, 1)
        connection = store._connection
        assert connection is not None
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        store.close()


def test_it_outlives_its_process(tmp_path):
    """A second store on the file has what the first one took."""
    one = OutboxStore(str(tmp_path / "o.db"))
    put(one, 1, 2)
    two = OutboxStore(str(tmp_path / "o.db"))
    assert numbers(two) == [1, 2]
    two.remove(first(two))
    assert numbers(one) == [2]
    one.close()
    two.close()


def _put_in_a_process(path: str, base: int) -> None:
    store = OutboxStore(path)
    put(store, *range(base, base + 100))
    store.close()


def test_from_many_processes(tmp_path):
    """Processes that make and fill one file at the same time lose nothing and raise nothing."""
    path = str(tmp_path / "o.db")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_put_in_a_process, args=(path, base)) for base in range(0, 400, 100)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(50)
    assert [process.exitcode for process in processes] == [0] * 4
    store = OutboxStore(path)
    assert sorted(numbers(store)) == list(range(400))
    store.close()


@pytest.mark.parametrize("content", [b"no database at all", b"\x00" * 5000], ids=["text", "zeros"])
def test_a_damaged_file_is_said(tmp_path, content):
    """A file that is no database is ERR_OUTBOX_STORE with its path and cause, and is left as it is."""
    path = tmp_path / "o.db"
    path.write_bytes(content)
    store = OutboxStore(str(path))
    with pytest.raises(CometChatException) as caught:
        put(store, 1)
    assert caught.value.code == "ERR_OUTBOX_STORE" and str(path) in caught.value.message
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    assert path.read_bytes() == content
    store.close()


def test_a_path_that_can_not_be(tmp_path):
    """A path below a file is ERR_OUTBOX_STORE, with the system's reason."""
    (tmp_path / "file").write_text("")
    store = OutboxStore(str(tmp_path / "file" / "o.db"))
    with pytest.raises(CometChatException) as caught:
        put(store, 1)
    assert caught.value.code == "ERR_OUTBOX_STORE"
    assert isinstance(caught.value.__cause__, OSError)


def test_a_failed_burial_changes_nothing(tmp_path):
    """Both steps of a burial happen, or none."""
    store = OutboxStore(str(tmp_path / "o.db"))
    put(store, 1)
    with pytest.raises(CometChatException):
        store.bury(first(store), CometChatException("ERR", None))  # type: ignore[arg-type]
    assert (numbers(store), store.dead(ME)) == ([1], [])
    store.close()


# Who may send.


def _hold(path: str, taken: Any, done: Any) -> None:
    lock = OutboxStore(path).delivery_lock(ME)
    assert lock.acquire()
    taken.set()
    done.wait(30)
    os._exit(9)


def test_one_at_a_time(tmp_path):
    """Who has the turn of an owner keeps others from it, another owner's not; it ends with release()."""
    store = OutboxStore(str(tmp_path / "o.db"))
    put(store, 1)
    with store.delivery_lock(ME) as lock:
        assert lock.acquire()
        assert not store.delivery_lock(ME).acquire()
        with store.delivery_lock(OTHER) as other:
            assert other.acquire()
    with store.delivery_lock(ME) as lock:
        assert lock.acquire()
    store.close()


def test_the_turn_of_a_dead_process_is_free(tmp_path):
    """A process that ends without a word leaves its turn to the next at once."""
    path = str(tmp_path / "o.db")
    context = multiprocessing.get_context("spawn")
    taken, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(path, taken, done))
    process.start()
    assert taken.wait(30)
    lock = OutboxStore(path).delivery_lock(ME)
    assert not lock.acquire()
    done.set()
    process.join(30)
    assert process.exitcode == 9
    assert lock.acquire()
    lock.release()
    lock.release()


def test_in_memory_the_turn_is_free():
    """Nobody else is there."""
    lock = OutboxStore(None).delivery_lock(ME)
    assert lock.acquire() and lock.acquire()
    lock.release()


def test_a_lock_that_can_not_be_made(tmp_path):
    """No folder for the lock's file: ERR_OUTBOX_STORE."""
    with pytest.raises(CometChatException) as caught:
        FileLock(str(tmp_path / "no" / "lock"), threading.Lock()).acquire()
    assert caught.value.code == "ERR_OUTBOX_STORE"


def test_a_file_that_the_system_can_not_lock(tmp_path, monkeypatch):
    """The database is not opened without its lock: ERR_OUTBOX_STORE, with the system's reason."""

    def no_locks(descriptor: int, wait: bool) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(outbox_store, "_lock", no_locks)
    with pytest.raises(CometChatException, match="no locks available") as caught:
        put(OutboxStore(str(tmp_path / "o.db")), 1)
    assert caught.value.code == "ERR_OUTBOX_STORE"


# Forks.


def test_nobody_uses_it_during_a_fork(tmp_path):
    """Between pause() and resume() the file is not open and a put waits; afterwards it goes on."""
    store = OutboxStore(str(tmp_path / "o.db"))
    put(store, 1)
    store.pause()
    assert store._connection is None
    putting = threading.Thread(target=put, args=(store, 2))
    putting.start()
    store.resume()
    store.resume()
    putting.join(30)
    assert numbers(store) == [1, 2]
    store.close()


def test_what_is_in_memory_outlives_a_fork():
    """There is no file to be closed: the parent's items stay the parent's."""
    store = OutboxStore(None)
    put(store, 1)
    store.pause()
    store.resume()
    assert numbers(store) == [1]
    store.close()


def test_a_fork_does_not_wait_for_ever(monkeypatch):
    """Where a statement does not end, the fork goes on after a while."""
    monkeypatch.setattr(outbox_store, "_PAUSE", 0.01)
    store = OutboxStore(None)
    with store._lock:
        store.pause()
        store.resume()
    put(store, 1)
    store.close()


@pytest.mark.parametrize("call", ["open", "close"])
def test_a_fork_does_not_come_between_a_lock_and_its_descriptor(tmp_path, monkeypatch, call):
    """A descriptor that the store does not know of would stay open in the child, and with it the lock."""
    store = OutboxStore(str(tmp_path / "o.db"))
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
    store.pause()
    seen.append("forked")
    store.resume()
    delivering.join(30)
    assert seen == [call, "forked"]


def test_the_child_of_a_fork_lets_go_of_its_copy_only(tmp_path):
    """Another process can have the lock as soon as the parent lets go of it, though the child lives on."""
    store = OutboxStore(str(tmp_path / "o.db"))
    lock = store.delivery_lock(ME)
    assert lock.acquire()
    copy = os.dup(lock._descriptor)  # as a fork makes one
    child = OutboxStore(store.path)
    child._delivering = FileLock(store.path, threading.Lock())
    child._delivering._descriptor = copy
    child.forsake()
    assert not child.delivery_lock(ME).acquire()  # still the parent's
    lock.release()
    with child.delivery_lock(ME) as taken:
        assert taken.acquire()


def test_two_threads_that_fork_at_once(monkeypatch):
    """The one that could not wait does not take from the other what it has to give back."""
    monkeypatch.setattr(outbox_store, "_PAUSE", 0.01)
    store = OutboxStore(None)
    store.pause()
    store.pause()
    store.resume()
    store.resume()
    put(store, 1)
    store.close()
