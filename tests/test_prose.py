"""No habit of :data:`HABITS` is in the prose: docstrings, comments, messages and pages.

Each habit makes a reader start a sentence again. ``docs/contributing.rst`` has the rules of which these are the worst
breaches.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Iterator, List, NamedTuple, Set, Tuple

import pytest

ROOT = Path(__file__).resolve().parent.parent


class Habit(NamedTuple):
    """A bad habit, and the cure.

    :ivar pattern: finds the habit in text without quoted code.
    :ivar instead: what to write instead.
    :ivar example: a sentence with the habit.
    """

    pattern: str
    instead: str
    example: str


HABITS = [
    Habit(r"(?i:\b(some|no|any)body\b|\bwho(m)?ever\b)", "name the actor", "Nobody waits for it."),
    Habit(
        r"(?<!here )\b(is|are|was|were|has|have|had|if) none\b(?! of)",
        "repeat the noun: 'without a user', 'returns None if'",
        "The id, or None if it has none.",
    ),
    Habit(r"(?<!here )\b(is|are|was|were) no (?!longer|more)\w+", "'is not a ...'", "What is no number is refused."),
    Habit(
        r"\b(anew|afresh|forsak\w+|lest|hence|there(of|by|upon)|where(upon|of)|shall|for ever|in vain|of late)\b",
        "'again', 'release', 'so', 'must', 'forever', 'without result'",
        "It begins anew.",
    ),
    Habit(r"\blets? go\b", "'release', 'drop'", "The lock is let go."),
    Habit(
        r"\bwhat (has|have|had) (come|become|been|gone)\b|\bwhat (becomes|came|comes) of\b|\bsuch an? one\b"
        r"|\b(that|those) which\b|\bthe ones? (that|who|which) (is|are|was|were|has|have)\b",
        "repeat the noun",
        "It asks for what has come in between.",
    ),
    Habit(
        r"(^|[.!?] )(What|Who|Whose|Whom) [^.!?]*\.(?= |$)",
        "begin with the noun: 'Messages that ...', 'The user who ...'",
        "What it can't read is dropped.",
    ),
    Habit(r"[:;] nothing(?=[.;,)]|$)", "'no-op if ...', 'has no effect'", "Called again: nothing."),
    Habit(
        r"\b(is|are|was|were|be) (told|owed)\b|\btold of\b|\b(hear|hears|heard) of\b|\b(is|are) (not )?news\b",
        "'calls', 'gets', 'is notified'",
        "A listener is told of it.",
    ),
    Habit(r"\bany more\b", "'no longer'", "It is not wanted any more."),
    Habit(r"(?i:\bwhatever\b)", "'any ...', 'for any ...'", "It lives, whatever the server sends."),
    Habit(
        r"\bown accord\b|\bas (it|they) came\b|\b(can|could|may|to) be had\b",
        "'by itself', 'unchanged', 'if possible'",
        "The connection returns of its own accord.",
    ),
    Habit(r"\bstands? (in(?! for)|on|above|below|beside|between|there)\b", "'is'", "The rule stands in the table."),
]

#: Sentences in which no habit may be found.
PLAIN = [
    "There is no room. It is no longer there, and none of them is.",
    "Returns None if the user has no session.",
    "What does it cost? Who calls it?",
    "It says what happened, and who did it.",
    "The number of items; nothing to do if it is 0.",
]

#: First words of a function's docstring that is not an imperative.
NOUNS = set("A All An Everything How It None One The This What Where Whether Who Why".split())

#: What the pages quote, and roles: code, not prose.
QUOTED = re.compile(r"``.+?``|:\w+:`[^`]*`", re.DOTALL)

#: A comment of a line, after nothing or at least two spaces.
COMMENT = re.compile(r"(?:^ *|  )(#.*)")

Piece = Tuple[int, str]


def found(text: str) -> List[Tuple[str, str]]:
    """Return the habits in a text, each with what to write instead."""
    text = re.sub(r"\s+", " ", QUOTED.sub("X", text)).strip()
    hits = []
    for habit in HABITS:
        match = re.search(habit.pattern, text)
        if match:
            hits.append((match[0].strip(" .")[:60], habit.instead))
    return hits


def nodes_of(source: str) -> List[ast.AST]:
    """Return the nodes of a source's syntax tree."""
    return list(ast.walk(ast.parse(source)))


def comments(source: str) -> Iterator[Piece]:
    """Yield the comments. The lines of a block are one text.

    A tokenizer would need half of this module's time to find a number sign that is in a string.
    """
    block: List[str] = []
    first, last, column = 0, 0, 0
    for line, text in enumerate(source.split("\n"), 1):
        match = COMMENT.search(text)
        if match is None:
            continue
        if block and (line, match.start(1)) != (last + 1, column):
            yield first, " ".join(block)
            block = []
        if not block:
            first = line
        block.append(match[1].lstrip("#:").strip())
        last, column = line, match.start(1)
    if block:
        yield first, " ".join(block)


def strings(nodes: List[ast.AST]) -> Iterator[Piece]:
    """Yield the docstrings, and the strings that contain a space. Each paragraph is one text."""
    inner: Set[int] = set()
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            inner.update(id(part) for part in node.values)
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            text = node.value
        else:
            continue
        if " " in text.strip():
            for paragraph in re.split(r"\n\s*\n|\n(?=\s*:\w+)", text):
                yield node.lineno, re.sub(r"^\s*:[^:]+:", "", paragraph)


def paragraphs(page: str) -> Iterator[Piece]:
    """Yield the paragraphs of a page, without titles and literal blocks."""
    literal = -1
    block: List[str] = []
    lines = [*page.split("\n"), ""]
    for number, line in enumerate(lines, 1):
        indent = len(line) - len(line.lstrip())
        if literal >= 0 and (not line.strip() or indent > literal):
            continue
        literal = -1
        text = line.strip()
        if not text or re.fullmatch(r"[=~^\"' -]{3,}", text) or re.match(r"([-*]|\d+\.|\.\.) ", text):
            is_title = bool(text) and len(block) == 1 and set(text) <= set("=~-^")
            if block and not is_title:
                yield number - len(block), " ".join(block)
            block = []
        if re.match(r"\.\. [\w-]+::", text) or text.endswith("::"):
            literal = indent
        if text and not re.match(r"\.\. |[=~-]{3,}", text):
            block.append(text)


def nouns(nodes: List[ast.AST]) -> Iterator[Piece]:
    """Yield the first words of those functions' docstrings that begin with "The status", not with "Return the status".

    Properties and fixtures have the docstring of a value, callbacks that of an event, tests and rules a promise.
    """
    for node in nodes:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node.name.startswith("test_"):
            continue
        first = (ast.get_docstring(node) or "").split(" ")[0]
        if first in NOUNS and not any(map(is_value, node.decorator_list)):
            yield node.lineno, first


def is_value(decorator: ast.expr) -> bool:
    """Return whether a decorator makes a property, a fixture or an invariant of a function."""
    return re.search("property|fixture|invariant", ast.unparse(decorator)) is not None


def habits_in(path: Path) -> List[str]:
    """Return a line for each habit in a file."""
    text = path.read_text(encoding="utf-8")
    hits: List[Tuple[int, str, str]] = []
    if path.suffix == ".rst":
        pieces = [*paragraphs(text)]
    else:
        nodes = nodes_of(text)
        # This file has an example of each habit.
        pieces = [] if path == Path(__file__) else [*strings(nodes), *comments(text)]
        if path.name not in ("listeners.py", "architecture_rules.py"):  # callbacks and rules
            hits += [(line, first, "an imperative such as 'Return'") for line, first in nouns(nodes)]
    hits += [(line, phrase, instead) for line, piece in pieces for phrase, instead in found(piece)]
    return [f"{path.relative_to(ROOT)}:{line}: {phrase!r}. Write {instead}." for line, phrase, instead in hits]


def test_the_table_of_habits() -> None:
    """Each habit is found in its example, and in no plain sentence."""
    missed = [habit for habit in HABITS if habit.instead not in [instead for _, instead in found(habit.example)]]
    assert missed == []
    assert [(sentence, found(sentence)) for sentence in PLAIN if found(sentence)] == []


def test_each_kind_of_text_is_read() -> None:
    """Comments of several lines, docstrings, f-strings and paragraphs are read; literal blocks are not."""
    source = 'def f():\n    """Is\n    nobody."""\n    # has\n    # none\n    raise X(f"{x} is told")\n'
    assert [line for line, text in [*strings(nodes_of(source)), *comments(source)] if found(text)] == [2, 6, 4]
    functions = 'def f(): "The status."\n@property\ndef g(): "The status."\ndef h(): "Return the status."\n'
    assert [*nouns(nodes_of(functions))] == [(1, "The")]
    page = "What stays\n==========\n\nIt is\ntold.\n\n::\n\n    nobody\n\n- It is told.\n"
    assert [line for line, text in paragraphs(page) if found(text)] == [4, 11]


@pytest.mark.parametrize("folder", ["cometchat", "examples", "benchmarks", "tests", "docs", "."])
def test_no_bad_habit(folder: str) -> None:
    """No habit is in the package, the examples, the benchmarks, the tests, the pages, the README and the changelog.

    A function's docstring begins with an imperative.
    """
    top = ROOT / folder
    files = [*top.glob("*.rst")] if folder == "." else [*top.rglob("*.py"), *top.rglob("*.rst")]
    assert files
    lines = [line for file in sorted(files) for line in habits_in(file)]
    assert not lines, "\n".join(["", *lines])
