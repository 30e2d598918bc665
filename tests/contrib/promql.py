"""A rough reader of PromQL. It finds typing mistakes and unknown functions, and lists the metrics and labels."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, NamedTuple, Set, Tuple

TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<range>\[(?:\d+[smhdw]|\$__rate_interval)\])|(?P<number>\d+(?:\.\d+)?)'
    r"|(?P<name>[A-Za-z_:][\w:]*)|(?P<mark>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){},]))"
)
AGGREGATIONS = frozenset("sum min max avg count group stddev topk bottomk quantile".split())
FUNCTIONS = {"time": 0, "absent": 1, "rate": 1, "increase": 1, "irate": 1, "delta": 1, "changes": 1, "abs": 1}
NEED_RANGE = frozenset("rate increase irate delta changes".split())
OPERATORS = frozenset("+ - * / % ^ == != > < >= <= and or unless".split())


class Selector(NamedTuple):
    """A metric, and its matchers: label -> (operator, value)."""

    metric: str
    matchers: Dict[str, Tuple[str, str]]
    ranged: bool


class PromQL:
    """One expression.

    Raises ValueError if it is not PromQL. ``selectors`` and ``labels`` are the ones that it names.
    """

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self.selectors: List[Selector] = []
        self.labels: Set[str] = set()
        self._expression()
        if self._at != len(self._tokens):
            raise ValueError(f"{self._peek()[1]!r} after the end")

    def _peek(self) -> Tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _next(self) -> Tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _take(self, *values: str) -> str:
        kind, value = self._next()
        if value not in values or kind == "string":
            raise ValueError(f"{value!r} in place of {' or '.join(values)}")
        return value

    def _is(self, *values: str) -> bool:
        kind, value = self._peek()
        return kind != "string" and value in values

    def _expression(self) -> None:
        self._operand()
        while self._is(*OPERATORS):
            self._next()
            if self._is("on", "ignoring"):
                self._next()
                self._label_list()
            self._operand()

    def _operand(self) -> None:
        kind, value = self._next()
        if value == "-":
            self._operand()
        elif value == "(":
            self._expression()
            self._take(")")
        elif kind == "name" and value in AGGREGATIONS:
            self._grouping()
            self._arguments()
            self._grouping()
        elif kind == "name" and self._is("("):
            self._call(value)
        elif kind == "name":
            self._selector(value)
        elif kind != "number":
            raise ValueError(f"{value!r} is not an operand")

    def _grouping(self) -> None:
        if self._is("by", "without"):
            self._next()
            self._label_list()

    def _label_list(self) -> None:
        self._take("(")
        while not self._is(")"):
            kind, value = self._next()
            if kind != "name":
                raise ValueError(f"{value!r} is not a label")
            self.labels.add(value)
            if not self._is(")"):
                self._take(",")
        self._take(")")

    def _call(self, function: str) -> None:
        if function not in FUNCTIONS:
            raise ValueError(f"there is no function {function}")
        before = len(self.selectors)
        if self._arguments() != FUNCTIONS[function]:
            raise ValueError(f"{function} has {FUNCTIONS[function]} arguments")
        if function in NEED_RANGE and not all(selector.ranged for selector in self.selectors[before:]):
            raise ValueError(f"{function} needs a range")

    def _arguments(self) -> int:
        self._take("(")
        count = 0
        while not self._is(")"):
            self._expression()
            count += 1
            if not self._is(")"):
                self._take(",")
        self._take(")")
        return count

    def _selector(self, metric: str) -> None:
        matchers: Dict[str, Tuple[str, str]] = {}
        if self._is("{"):
            self._next()
            while not self._is("}"):
                label = self._next()
                operator = self._take("=", "!=", "=~", "!~")
                value = self._next()
                if label[0] != "name" or value[0] != "string":
                    raise ValueError(f"{label[1]!r} {operator} {value[1]!r} is not a matcher")
                matchers[label[1]] = (operator, value[1][1:-1])
                if not self._is("}"):
                    self._take(",")
            self._take("}")
        ranged = self._peek()[0] == "range"
        self._at += ranged
        self.selectors.append(Selector(metric, matchers, ranged))
        self.labels.update(matchers)


def _tokens(text: str) -> Iterator[Tuple[str, str]]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise ValueError(f"{text[at:]!r} is not PromQL")
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()
