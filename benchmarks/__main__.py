"""Run the benchmarks: ``python -m benchmarks [figure ...] [--quick] [--runs N] [--write-docs]``."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, Dict, List

from . import calls, connection, followers, idle, outbox, report, storm, stream
from .harness import ROOT, RUNS, Context, Result

FIGURES: Dict[str, Any] = {
    **stream.FIGURES,
    **calls.FIGURES,
    **connection.FIGURES,
    **idle.FIGURES,
    **outbox.FIGURES,
}

#: Figures that run only if you name them, since they take long or need a Redis server.
ON_REQUEST: Dict[str, Any] = {**storm.FIGURES, **followers.FIGURES}


def main() -> int:
    """Measure. Returns 1 if a measurement failed. A missed target is reported, and is not a failure."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    names_of_all = f"{', '.join(FIGURES)} (all by default), {', '.join(ON_REQUEST)}"
    parser.add_argument("figures", nargs="*", metavar="figure", help=names_of_all)
    parser.add_argument("--quick", action="store_true", help="one short run of each, to see that all of them run")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--write-docs", action="store_true", help="write these figures into docs/performance.rst")
    given = parser.parse_args()
    known = {**FIGURES, **ON_REQUEST}
    unknown = [name for name in given.figures if name not in known]
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)}")
    runs = 1 if given.quick else given.runs
    names = given.figures or list(FIGURES)
    if given.write_docs:
        names = _for_docs(parser, given, runs)
    results: Dict[str, Result] = {}
    failed: List[str] = []
    for name in names:
        began = time.monotonic()
        report.say(f"{name} ...")
        try:
            results[name] = known[name](Context(runs, given.quick, lambda text: report.say(f"  {text}")))
        except Exception as error:  # the other figures are still measured
            failed.append(name)
            report.say(f"  failed: {error!r}")
        report.say(f"  in {time.monotonic() - began:.0f} s")
    data = report.data_of(results, runs, given.quick)
    sys.stdout.write(f"{report.numbers(data)}\n\n{report.table(data)}\n")
    report.write(data, ROOT / "build" / "bench")
    if failed:
        report.say(f"not measured: {', '.join(failed)}")
        return 1
    if given.write_docs:
        report.write_docs(report.joined(report.load(), data) if given.figures else data)
    return 0


def _for_docs(parser: argparse.ArgumentParser, given: argparse.Namespace, runs: int) -> List[str]:
    """Return what to measure for the page: what is named, or all that is on it. Ends if the page can't show it."""
    if given.quick:
        parser.error("--write-docs wants full runs")
    on_page = report.load()
    if not given.figures:
        return [*FIGURES, *(name for name in ON_REQUEST if name in on_page["figures"])]
    try:
        report.joined(on_page, report.data_of({}, runs, given.quick))
    except ValueError as error:
        parser.error(str(error))
    return list(given.figures)


if __name__ == "__main__":
    sys.exit(main())
