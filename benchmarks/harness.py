"""The shared parts of all figures: the server's process, a subject's process, alternating runs, medians with their
spread.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Type

ROOT = Path(__file__).resolve().parent.parent

#: Number of runs of each subject. The figure is their median.
RUNS = 5


class Server:
    """The server's process, as a context manager.

    :ivar about: the first line that it prints, with its port.
    """

    def __init__(self, module: str = "benchmarks.server") -> None:
        self._process = start(module, stdin=subprocess.PIPE)
        self.about = self._read()
        self.port: int = self.about["port"]

    def do(self, name: str, **others: Any) -> Dict[str, Any]:
        """Send the server a command, and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": name, **others}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _read(self) -> Dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the benchmark's server has ended")
        answer: Dict[str, Any] = json.loads(line)
        return answer


def start(module: str, *arguments: str, stdin: Optional[int] = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """Start a Python process of this package. Its standard output can be read."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdin=stdin, stdout=subprocess.PIPE, text=True, env=environment
    )


def result_of(process: subprocess.Popen[str], timeout: float = 180.0) -> Dict[str, Any]:
    """Return the last line of a process's standard output after it has ended without an error."""
    try:
        out, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    answer: Dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


class Measured(NamedTuple):
    """One number: the median, the minimum and the maximum of some runs."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Measured:
        """Return the median of some runs, with its spread."""
        return cls(statistics.median(values), min(values), max(values))


class Row(NamedTuple):
    """A target of the issue.

    :ivar name: the measured quantity.
    :ivar target: the limit, as a text.
    :ivar value: the measured number, mostly a ratio.
    :ivar shown: the number with its unit.
    :ivar reached: None if the row has no target and is only for comparison.
    """

    name: str
    target: str
    value: float
    shown: str
    reached: Optional[bool]


class Result(NamedTuple):
    """The result of a figure.

    :ivar rows: the targets of the issue.
    :ivar numbers: the numbers behind the rows, all in one unit.
    """

    rows: List[Row]
    numbers: Dict[str, Measured]
    unit: str


class Context(NamedTuple):
    """The options of a measurement.

    :ivar quick: measure so little that it only shows that everything runs.
    :ivar say: prints progress.
    """

    runs: int
    quick: bool
    say: Callable[[str], None]


def alternate(
    subjects: Sequence[str], measure: Callable[[str], float], runs: int, say: Callable[[str], None] = lambda text: None
) -> Dict[str, List[float]]:
    """Measure each in turn, several times, so that a slow minute of the machine affects all of them."""
    values: Dict[str, List[float]] = {name: [] for name in subjects}
    for number in range(runs):
        for name in subjects:
            values[name].append(measure(name))
        say(f"run {number + 1} of {runs}")
    return values


def ratio(above: Sequence[float], below: Sequence[float]) -> Measured:
    """Return the ratio, run by run, of two quantities that were measured one after the other."""
    return Measured.of([one / other for one, other in zip(above, below)])


def at_least(name: str, target: float, found: float, unit: str = "x") -> Row:
    """Return a row whose number must reach the limit."""
    return Row(name, f">= {target:g} {unit}", found, f"{found:.2f} {unit}", found >= target)


def at_most(name: str, target: float, found: float, unit: str = "x", digits: int = 2) -> Row:
    """Return a row whose number must not exceed the limit."""
    return Row(name, f"<= {target:g} {unit}", found, f"{found:.{digits}f} {unit}", found <= target)
