"""A client's log names the client, and never raises."""

from __future__ import annotations

import logging
import threading
import warnings
from typing import Any, Iterator, List

import pytest

from cometchat import AppSettings, Client, CometChat
from cometchat._log import SafeLog


class Kept(logging.Handler):
    """Keeps the records, or raises."""

    def __init__(self) -> None:
        super().__init__()
        self.records: List[Any] = []
        self.error: "BaseException | None" = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.error is not None:
            raise self.error
        self.records.append(record)


@pytest.fixture
def handler() -> Iterator[Kept]:
    made = Kept()
    logger = logging.getLogger("test-client-log")
    logger.addHandler(made)
    logger.setLevel(logging.DEBUG)
    yield made
    logger.removeHandler(made)


@pytest.fixture
def log(handler: Kept) -> SafeLog:
    return SafeLog(logging.getLogger("test-client-log"), lambda: "client 3, u%d")


def test_each_record_names_its_client(log: SafeLog, handler: Kept) -> None:
    """The name is in the text and in an attribute, for each method, with its level and the caller's place."""
    log.debug("a %s", 1)
    log.info("b")
    log.warning("100 %")
    log.error("d %d%%", 5)
    log.exception("e")
    assert [(record.levelname, record.getMessage()) for record in handler.records] == [
        ("DEBUG", "[client 3, u%d] a 1"),
        ("INFO", "[client 3, u%d] b"),
        ("WARNING", "[client 3, u%d] 100 %"),
        ("ERROR", "[client 3, u%d] d 5%"),
        ("ERROR", "[client 3, u%d] e"),
    ]
    assert {record.client for record in handler.records} == {"client 3, u%d"}
    assert {record.funcName for record in handler.records} == {"test_each_record_names_its_client"}


def test_a_log_of_no_client_suits_the_same_formatter(handler: Kept) -> None:
    """Its records have the attribute too: a formatter with ``%(client)s`` fails without it."""
    SafeLog(logging.getLogger("test-client-log")).warning("100 %")
    formatter = logging.Formatter("<%(client)s> %(message)s")
    assert [formatter.format(record) for record in handler.records] == ["<> 100 %"]


def test_the_exception_goes_with_it(log: SafeLog, handler: Kept) -> None:
    """exception() takes the current exception, and the others the given one."""
    error = KeyError("x")
    try:
        raise error
    except KeyError:
        log.exception("a")
    log.warning("b", exc_info=error)
    log.error("c", exc_info=error)
    log.error("d")
    assert [record.exc_info and record.exc_info[1] for record in handler.records] == [error, error, error, None]


@pytest.mark.parametrize("error", [OSError("disk full"), RecursionError(), MemoryError(), ValueError("closed file")])
def test_the_failure_of_a_handler_is_kept(log: SafeLog, handler: Kept, error: Exception) -> None:
    """The caller does not notice it. The next record is written again."""
    handler.error = error
    for write in (log.debug, log.info, log.warning, log.error, log.exception):
        log.last_failure = None
        write("lost")
        assert log.last_failure is error
    assert handler.records == []
    handler.error = None
    log.info("found")
    assert [record.getMessage() for record in handler.records] == ["[client 3, u%d] found"]


def test_a_handler_that_exits_ends_only_the_main_thread(log: SafeLog, handler: Kept) -> None:
    """On another thread SystemExit ends nothing that its user means: a connection could never come up."""
    handler.error = SystemExit(1)
    ended: List[str] = []

    def write() -> None:
        log.info("lost")
        ended.append("written")

    thread = threading.Thread(target=write, daemon=True, name="test-log")
    thread.start()
    thread.join(10.0)
    assert ended == ["written"] and log.last_failure is handler.error
    with pytest.raises(SystemExit):
        log.info("the end")


def test_a_wrong_format_does_not_raise(log: SafeLog, handler: Kept) -> None:
    """A handler raises when it formats such a record."""

    class Formatting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            record.getMessage()

    logging.getLogger("test-client-log").addHandler(formatting := Formatting())
    try:
        log.info("%d", "not a number")
    finally:
        logging.getLogger("test-client-log").removeHandler(formatting)
    assert isinstance(log.last_failure, TypeError)


def test_a_name_that_can_not_be_had(handler: Kept) -> None:
    """The callable for the name raises."""
    log = SafeLog(logging.getLogger("test-client-log"), lambda: [][0])
    log.error("x")
    assert isinstance(log.last_failure, IndexError)


def test_levels() -> None:
    """A disabled record is neither named nor written."""
    logger = logging.getLogger("test-client-log.levels")
    logger.setLevel(logging.ERROR)
    log = SafeLog(logger, lambda: [][0])
    log.warning("not written")
    assert log.last_failure is None


def test_a_logger_that_fails() -> None:
    """The patched isEnabledFor() of a logger raises."""

    class Broken(logging.Logger):
        def isEnabledFor(self, level: int) -> bool:
            raise OSError("broken")

    log = SafeLog(Broken("broken"), lambda: "client 1")
    log.error("x")
    assert isinstance(log.last_failure, OSError)


def test_a_logging_configuration_that_switches_the_loggers_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """``dictConfig`` does so by default. A client then warns in Python's way, since its log would be silent."""
    settings = AppSettings(region="us")
    monkeypatch.setattr(logging.getLogger("cometchat.listeners"), "disabled", True)
    with pytest.warns(RuntimeWarning, match='"disable_existing_loggers": False'):
        Client("app", settings).close()
    with warnings.catch_warnings(), pytest.raises(RuntimeWarning):
        warnings.simplefilter("error")
        CometChat.init("app", settings)
