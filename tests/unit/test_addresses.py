"""The last known addresses: when they are used, and when the name server's answer is."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from typing import Callable, Iterator, List, Optional
from unittest.mock import Mock

import pytest
from no_threads import no_threads

from cometchat._runtime.connection import _host_addresses as addresses_module
from cometchat._runtime.connection._host_addresses import AddressBook
from cometchat._transport.net import Address, has_no_address, look_up

DEADLINE = 10.0

HOST = "service.example"


def at(number: int) -> List[Address]:
    return [Address(socket.AF_INET, socket.SOCK_STREAM, 6, (f"192.0.2.{number}", 443))]


def again() -> socket.gaierror:
    return socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


class Names:
    """The system's look-up. It answers, raises, or hangs until the test releases it."""

    def __init__(self) -> None:
        self.answer: List[Address] = at(1)
        self.error: Optional[Exception] = None
        self.go_on = threading.Event()
        self.go_on.set()
        self.threads: List[str] = []

    def __call__(self, host: str, port: int) -> List[Address]:
        self.threads.append(threading.current_thread().name)
        answer, error = self.answer, self.error
        assert self.go_on.wait(DEADLINE)
        if error is not None:
            raise error
        return answer


@pytest.fixture
def names() -> Iterator[Names]:
    made = Names()
    yield made
    made.go_on.set()
    join_all()


def join_all() -> None:
    for thread in threading.enumerate():
        if thread.name == "cometchat-look-up":
            thread.join(DEADLINE)
            assert not thread.is_alive()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the maximum time of a look-up, in seconds."""
    return lambda seconds: monkeypatch.setattr(addresses_module, "PATIENCE", seconds)


def test_the_first_look_up_is_the_systems(names: Names) -> None:
    """The first look-up runs on the asking thread and raises its own error, and afterwards no address is known."""
    book = AddressBook(names)
    for error in (again(), socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("label too long")):
        names.error = error
        with pytest.raises(type(error)) as caught:
            book.addresses(HOST, 443)
        assert caught.value is error
    assert set(names.threads) == {threading.current_thread().name}


def test_a_new_answer_takes_the_old_ones_place(names: Names) -> None:
    """The last known addresses are only for a silent name server."""
    book = AddressBook(names)
    assert book.addresses(HOST, 443) == at(1)
    names.answer = at(2)
    assert book.addresses(HOST, 443) == at(2)
    names.error = again()
    assert book.addresses(HOST, 443) == at(2)
    assert names.threads[1:] == ["cometchat-look-up"] * 2


def test_a_late_answer_is_not_waited_for_but_kept(
    names: Names, patience: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The known addresses are used after the patience.

    A hanging look-up is not started twice, nor awaited as long again.
    """
    now = [100.0]
    book = AddressBook(names, clock=lambda: now[0])
    book.addresses(HOST, 443)
    names.go_on.clear()
    names.answer = at(2)
    patience(0.05)
    with caplog.at_level(logging.DEBUG, "cometchat"):
        assert book.addresses(HOST, 443) == at(1)
    assert HOST in caplog.text
    patience(DEADLINE)
    now[0] += DEADLINE
    assert book.addresses(HOST, 443) == at(1)
    assert len(names.threads) == 2
    names.go_on.set()
    join_all()
    names.error = again()
    assert book.addresses(HOST, 443) == at(2)


def test_no_answer_for_now_counts_as_none(names: Names) -> None:
    """A name server that cannot be reached leads to EAI_AGAIN. An unknown name is an answer, and raised."""
    book = AddressBook(names)
    book.addresses(HOST, 443)
    names.error = again()
    assert book.addresses(HOST, 443) == at(1)
    names.error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with pytest.raises(socket.gaierror) as caught:
        book.addresses(HOST, 443)
    assert caught.value.errno == socket.EAI_NONAME and str(caught.value) == str(names.error)


def test_all_that_ask_at_once_share_a_look_up(names: Names, patience: Callable[[float], None]) -> None:
    """A thousand clients of one host do not need a thousand threads."""
    asked = threading.Semaphore(0)

    def clock() -> float:
        asked.release()
        return 0.0

    book = AddressBook(names, clock)
    book.addresses(HOST, 443)
    names.go_on.clear()
    patience(DEADLINE)
    found: List[List[Address]] = []
    askers = [
        threading.Thread(target=lambda: found.append(book.addresses(HOST, 443)), name="test-asker") for _ in range(5)
    ]
    for asker in askers:
        asker.start()
    for _ in range(6):  # the beginning of the look-up, and of each wait
        assert asked.acquire(timeout=DEADLINE)
    names.go_on.set()
    for asker in askers:
        asker.join(DEADLINE)
    assert found == [at(1)] * 5
    assert len(names.threads) == 2


def test_each_port_is_a_place_of_its_own(names: Names) -> None:
    """The addresses of one port say nothing about another port."""
    book = AddressBook(names)
    book.addresses(HOST, 443)
    names.error = again()
    with pytest.raises(socket.gaierror):
        book.addresses(HOST, 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%eth0"])
def test_an_address_is_not_a_name(names: Names, host: str) -> None:
    """An address needs no name server, and so no thread."""
    book = AddressBook(names)
    book.addresses(host, 443)
    names.error = again()
    with pytest.raises(socket.gaierror):
        book.addresses(host, 443)
    assert set(names.threads) == {threading.current_thread().name}


def test_the_book_has_an_end(names: Names) -> None:
    """Of 65 hosts, the one found longest ago is forgotten."""
    book = AddressBook(names)
    hosts = [f"{number}.example" for number in range(65)]
    for host in hosts:
        book.addresses(host, 443)
    names.error = again()
    with pytest.raises(socket.gaierror):
        book.addresses(hosts[0], 443)
    assert book.addresses(hosts[1], 443) == book.addresses(hosts[-1], 443) == at(1)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()], ids=repr)
def test_a_system_without_threads(error: Exception, names: Names) -> None:
    """The asking thread makes the look-up, like the first one."""
    book = AddressBook(names)
    book.addresses(HOST, 443)
    names.answer = at(2)
    with no_threads(error=error):
        assert book.addresses(HOST, 443) == at(2)
    assert set(names.threads) == {threading.current_thread().name}
    assert book.addresses(HOST, 443) == at(2)


def test_an_interrupted_start_of_a_look_up(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call looks the name up again, and does not keep the known addresses for all time."""

    def interrupt(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    book = AddressBook(names)
    book.addresses(HOST, 443)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            book.addresses(HOST, 443)
    names.answer = at(2)
    assert book.addresses(HOST, 443) == at(2)


def test_the_child_of_a_fork_begins_its_own_look_ups(names: Names) -> None:
    """The child does not wait for a look-up of the parent. Known addresses stay known."""
    book = AddressBook(names)
    book.addresses(HOST, 443)
    book._begin((HOST, 443))
    join_all()
    book._pending[(HOST, 443)] = addresses_module._PendingLookup(1e9)
    book.reset_after_fork()
    names.answer = at(2)
    assert book.addresses(HOST, 443) == at(2)
    names.error = again()
    assert book.addresses(HOST, 443) == at(2)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_a_lookup_without_descriptors_is_no_unknown_name(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system calls the name unknown, since it can't open a file to look it up. The error says what lacks."""
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=socket.gaierror(socket.EAI_NONAME, "unknown")))
    monkeypatch.setattr(socket, "socket", Mock(side_effect=OSError(code, "no descriptor")))
    with pytest.raises(OSError) as caught:
        look_up("h", 1)
    assert (caught.value.errno, has_no_address(caught.value)) == (code, False)


@pytest.mark.parametrize("failure", [None, OSError(errno.EAFNOSUPPORT, "no IPv4")])
def test_an_unknown_name_stays_one(failure: Optional[OSError], monkeypatch: pytest.MonkeyPatch) -> None:
    """It does if a socket can be made, or can't for another reason."""
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=socket.gaierror(socket.EAI_NONAME, "unknown")))
    monkeypatch.setattr(socket, "socket", Mock(side_effect=failure))
    with pytest.raises(socket.gaierror, match="unknown"):
        look_up("h", 1)
