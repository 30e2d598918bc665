"""The docs as a whole: the site's menu, the table of the vendor's calls, and an entry for each error.

`make docs`, which .ci/run calls, checks that the site builds without a warning. The tests do not need Sphinx.
"""

from __future__ import annotations

import inspect
import pydoc
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Set, Tuple

import pytest

import cometchat
from cometchat import AppSettings, Client, CometChat, exceptions
from cometchat.cli import _advice as advice
from cometchat.listeners import KINDS

DOCS = Path(__file__).resolve().parent.parent / "docs"

PAGES = [*DOCS.glob("*.rst"), *DOCS.glob("api/*.rst"), *DOCS.glob("howto/*.rst")]

#: Files outside of docs/ that a page of the site includes.
SHOWN = {"../CHANGELOG.rst": "changes", "../examples/README.rst": "examples"}


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


# The menu.


def menu() -> List[str]:
    """Return the entries of index.rst's toctrees."""
    found = re.findall(r"^\.\. toctree::\n(?:   :.*\n)+\n((?:   \S+\n)+)", page("index.rst"), re.MULTILINE)
    return [entry for block in found for entry in block.split()]


def links() -> List[str]:
    """Return the pages that the front page links to in its lists."""
    found = re.findall(r"^\* `[^`]+ <([^>]+)>`_", page("index.rst"), re.MULTILINE)
    return [SHOWN.get(link, link[: -len(".rst")]) for link in found]


def groups(pattern: str) -> List[str]:
    """Return the names of the front page's groups."""
    return re.findall(pattern, page("index.rst"), re.MULTILINE)


def test_every_page_is_in_the_menu() -> None:
    """Each page of the docs is an entry of one toctree, and each entry is a page."""
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in PAGES} - {"index"}
    assert sorted(menu()) == sorted(pages)


def test_the_front_page_links_every_page() -> None:
    """A reader on the code host, who has no menu, finds the same groups and pages in the same order."""
    assert links() == menu()


def test_the_pages_of_the_api_say_where_their_text_is() -> None:
    """A code host shows no docstrings. Each page made from them names an object of its own that help() explains."""
    for path in DOCS.glob("api/*.rst"):
        text = path.read_text(encoding="utf-8")
        (name,) = re.findall(r"``make docs`` makes this page from the docstrings.*``help\((\S+)\)``", text)
        assert re.search(rf"^\.\. auto\w+:: {re.escape(name)}$", text, re.MULTILINE), name
        assert len(inspect.getdoc(pydoc.locate(name)) or "") > 50, name
    assert groups(r"^(.+)\n-{3,}$") == groups(r"^   :caption: (.+)$") != []


# The API reference.


def test_each_public_name_is_in_the_reference() -> None:
    """The pages in docs/api describe each class that users import from ``cometchat``, and each once."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((DOCS / "api").glob("*.rst")))
    described = re.findall(r"^\.\. auto(?:class|exception|function):: cometchat\.(\w+)$", text, re.MULTILINE)
    assert len(described) == len(set(described))
    public = {name for name in cometchat.__all__ if inspect.isclass(getattr(cometchat, name))}
    assert public - set(described) == set()


# The vendor's calls.


def rows() -> Iterator[Tuple[str, str]]:
    """Yield the rows of vendor.rst's tables: the text of both cells."""
    for line in page("vendor.rst").splitlines():
        left, right = line[:58].strip(), line[60:].strip()
        if line.startswith("``") and line[58:60] == "  ":
            yield left, right


def test_the_names_of_the_table_exist() -> None:
    """Each row of the vendor's names says "not in this SDK", or begins with a name of this SDK."""
    wrong = []
    for left, right in rows():
        try:
            check_row(left, right)
        except AssertionError as error:
            wrong.append(f"{left}: {error}")
    assert len(list(rows())) > 100 and not wrong, "\n".join(wrong)


def check_row(left: str, right: str) -> None:
    if right.startswith("not in this SDK"):
        return
    last_table = left.startswith("``CometChat.") or "=..." in left  # its own names are on the left
    here = left if last_table else right
    names = re.findall(r"``([A-Z]\w+(?:\.\w+)*)(?:\((.*?)\))?``", here)
    assert names, right
    for name, arguments in names:
        target = resolve(name)
        for keyword in re.findall(r"(\w+)=", arguments):
            assert keyword in inspect.signature(target).parameters, f"{name} takes no {keyword}"


def resolve(name: str) -> Any:
    """Return the object with this name in the package. An attribute of each ``Client`` counts too."""
    first, *rest = name.split(".")
    assert first in cometchat.__all__, name
    target: Any = getattr(cometchat, first)
    fields: Set[str] = set(getattr(target, "__dataclass_fields__", ()))
    if target is Client:
        with Client("app", AppSettings(region="us")) as client:
            fields |= set(vars(client))
    for part in rest:
        if part in fields:
            return None
        assert hasattr(target, part), name
        target = getattr(target, part)
    return target


def test_the_rule_for_the_table_can_fail() -> None:
    """A missing name and a missing argument are found."""
    for right in ("``CometChat.make_coffee``", "``AppSettings(colour=...)``", "something"):
        with pytest.raises(AssertionError):
            check_row("``x``", right)


def test_the_table_leaves_nothing_of_this_sdk_out() -> None:
    """Each method of CometChat and of the listeners is in the table.

    The methods of the outbox are on their own page.
    """
    text = page("vendor.rst")
    wanted = [f"CometChat.{name}" for name in vars(CometChat) if not name.startswith("_")]
    wanted += [
        f"{cls.__name__}.{name}"
        for kind, cls in KINDS.items()
        for name in vars(cls)
        if not name.startswith("_") and kind != "outbox"
    ]
    assert len(wanted) > 60
    assert [name for name in wanted if f"``{name}``" not in text] == []


# Performance.

#: Text at the beginning of the page -> a row of its table, and the condition for the measured figure.
GAINS: List[Tuple[str, str, Callable[[float], bool]]] = [
    ("more than 100,000 events a second", "cometchat", lambda measured: measured > 100_000),
    (
        "over 4 times as many as ``WebSocketApp``",
        "presence events/s, standard library JSON: to WebSocketApp",
        lambda measured: measured > 4,
    ),
    (
        "over 1.3 times as many as ``WebSocketApp`` with ``skip_utf8_validation``",
        "presence events/s, standard library JSON: to WebSocketApp with skip_utf8_validation",
        lambda measured: measured > 1.3,
    ),
    (
        "over 7 times as many as Pysher",
        "presence events/s, standard library JSON: to Pysher",
        lambda measured: measured > 7,
    ),
    (
        "over 10 times as many as slack_sdk",
        "presence events/s, standard library JSON: to slack_sdk",
        lambda measured: measured > 10,
    ),
    (
        "0.9 times as many as ``websockets.sync``",
        "presence events/s, standard library JSON: to websockets.sync",
        lambda measured: 0.85 <= measured < 0.95,
    ),
    ("in less than 0.1 ms (median)", "cometchat, p50", lambda measured: measured < 100),
    ("as fast as in a bare loop", "latency at 500/s, p50: to the bare loop", lambda measured: measured < 1.05),
    ("about half a second (median)", "reconnect after a drop, p50", lambda measured: 0.4 < measured < 0.6),
    ("wakes once per heartbeat", "idle client: wake-ups in a ping interval", lambda measured: measured == 1),
    ("less than 3 % of a core", "CPU at 1000 idle clients, 15 s ping", lambda measured: measured < 3),
    ("75 KiB each", "memory per further client, at 5000 clients", lambda measured: measured <= 75),
    ("within 2 s", "1000 clients dropped at once: all back", lambda measured: measured < 2),
    ("within 10 s", "5000 clients dropped at once: all back", lambda measured: measured < 10),
    ("more than 5 s", "bare websocket-client, 1000 clients: all back, s", lambda measured: measured > 5),
    ("3,000 a minute", "bare websocket-client, 3000 clients: all back, s", lambda measured: 55 < measured < 70),
]


#: The same for the text after the table.
REASONS: List[Tuple[str, str, Callable[[float], bool]]] = [
    ("needs 8 us for 100 listeners", "dispatcher, 100 listeners", lambda measured: 7.5 <= measured < 8.5),
    ("found beforehand, needs 3 us", "for loop, 100 bound methods", lambda measured: 2.5 <= measured < 3.5),
    ("43 ns instead of 270", "Client.get_connection_status()", lambda measured: 42 <= measured < 45),
    (
        "1.1 times the time of ``import websocket``",
        "import cometchat: to import websocket",
        lambda measured: 1.05 <= measured < 1.15,
    ),
    (
        "Against ``skip_utf8_validation`` it misses it",
        "one frame to 100 listeners: to a bare loop with skip_utf8_validation",
        lambda measured: measured > 1.3,
    ),
    (
        "the SDK misses this target. A program that logs in",
        "login + connect + close, 200 times: to the same calls bare",
        lambda measured: measured > 1.2,
    ),
]


def test_the_text_follows_from_the_measurement() -> None:
    """Each figure at the beginning and end of docs/performance.rst follows from the page's own table between them."""
    text = page("performance.rst")
    beginning = " ".join(text.partition("Results\n---")[0].split())
    end = " ".join(text.partition("Method\n---")[2].split())
    for words, row, holds in [*GAINS, *REASONS]:
        assert words in (beginning if (words, row, holds) in GAINS else end), words
        measured = re.search(rf"^(?:[\w-]+  +)?{re.escape(row)}  +(?:[<>]= .*?  +)?([\d.,]+)", text, re.MULTILINE)
        assert measured and holds(float(measured[1].replace(",", ""))), (words, measured)


# Errors.

CODES = sorted(name for name in dir(exceptions) if name.isupper() and name != "CLASSES")


def entries() -> Dict[str, Dict[str, str]]:
    """Return code -> field -> text."""
    text = page("troubleshooting.rst")
    found: Dict[str, Dict[str, str]] = {}
    for code, body in re.findall(r"^``([A-Z0-9_<>]+)``\n~+\n\n((?:(?::| {4}).*\n)+)", text, re.MULTILINE):
        found[code] = dict(re.findall(r"^:(\w+): ((?:.*\n)(?:    .*\n)*)", body, re.MULTILINE))
    return found


def test_every_code_has_symptom_cause_and_cure() -> None:
    """docs/troubleshooting.rst has one entry for each code that the SDK can raise, with the same three fields."""
    found = entries()
    assert set(found) == {*CODES, "INVALID_<PARAMETER>"}
    fields = ["Symptom", "Cause", "Do"]
    wrong = [code for code, entry in found.items() if list(entry) != fields or min(map(len, entry.values())) < 7]
    assert wrong == []


def short_entries() -> Iterator[Tuple[List[str], advice.Advice]]:
    """Yield the entries without a heading: the codes or texts that they explain, with cause and remedy."""
    text = r"(.*\n(?: {8}.*\n)*)"
    pattern = rf"^(``.+``)\n {{4}}:Cause: {text} {{4}}:Do: {text}"
    for terms, cause, action in re.findall(pattern, page("troubleshooting.rst"), re.MULTILINE):
        yield re.findall(r"``(.+?)``", terms), advice.Advice(plain(cause), plain(action))


def plain(text: str) -> str:
    """Return a text in one line and without marks of code."""
    return " ".join(text.replace("`", "").split())


def test_the_page_and_the_doctor_say_the_same() -> None:
    """Cause and remedy of an error are the same texts in docs/troubleshooting.rst and in the command ``doctor``."""
    shown = {code: advice.Advice(plain(entry["Cause"]), plain(entry["Do"])) for code, entry in entries().items()}
    pairs = [(shown[code], advised) for code, advised in advice._BY_CODE.items()]
    for terms, entry in short_entries():
        explain = advice.network_advice if not terms[0].isupper() or ":" in terms[0] else advice_for_code
        pairs += [(entry, explain(term)) for term in terms]
    wrong = [f"{on_page}\n{advised}" for on_page, advised in pairs if on_page != plain_advice(advised)]
    assert not wrong, "\n\n".join(wrong)
    explained = [advised for _, advised in pairs]
    tables = (*advice._BY_PATTERN, *advice._BY_NETWORK)
    assert [pattern for pattern, advised in tables if advised not in explained] == []


def advice_for_code(code: str) -> advice.Advice:
    return advice.advice_for(exceptions.CometChatException(code, ""))


def plain_advice(advised: advice.Advice) -> advice.Advice:
    return advice.Advice(*map(plain, advised))
