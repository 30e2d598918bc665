"""The report of a run: a table, a plot, JSON, and the generated parts of docs/performance.rst."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List, Sequence

from .harness import ROOT, Result
from .storm import ALL_BACK, BARE, CLIENTS, CPU_EACH, FEW_CLIENTS, SDK, key

PAGE = ROOT / "docs" / "performance.rst"
PLOT = ROOT / "docs" / "performance.png"
STORM_PLOT = ROOT / "docs" / "performance-storm.png"
DATA = ROOT / "docs" / "performance.json"

#: Each of the two generated parts of the page is between these lines.
BEGIN, END = ".. begin: written by make bench ARGS=--write-docs", ".. end: written by make bench"

#: Facts that the figures of one page share, besides the versions of the packages.
_SAME = ("python", "system", "cores", "runs", "quick")

_PACKAGES = (
    "websocket-client",
    "websockets",
    "Pysher",
    "slack_sdk",
    "signalrcore",
    "python-socketio",
    "paho-mqtt",
    "orjson",
    "wsaccel",
    "requests",
    "redis",
)


def data_of(results: Dict[str, Result], runs: int, quick: bool) -> Dict[str, Any]:
    """Return the results as JSON."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "runs": runs,
        "quick": quick,
        "figures": {
            name: {
                "date": today,
                "rows": [row._asdict() for row in result.rows],
                "unit": result.unit,
                "numbers": {key: measured._asdict() for key, measured in result.numbers.items()},
            }
            for name, result in results.items()
        },
    }


def joined(older: Dict[str, Any], newer: Dict[str, Any]) -> Dict[str, Any]:
    """Return the newer data, with the figures of older data that it does not have.

    :raises ValueError: they are from different machines or versions, so that one page can't show both.
    """
    was, now = ({**data["packages"], **{name: data[name] for name in _SAME}} for data in (older, newer))
    different = [name for name in was if was[name] != now.get(name)]
    if different:
        raise ValueError(f"renew all figures of the page: {', '.join(different)} changed since they were measured")
    figures = {**older["figures"], **newer["figures"]}
    return {**newer, "figures": figures}


def table(data: Dict[str, Any]) -> str:
    """Return the targets as text for a terminal."""
    rows = _rows(data)
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def numbers(data: Dict[str, Any]) -> str:
    """Return the numbers behind the targets."""
    lines = []
    for name, figure in data["figures"].items():
        lines.append(f"{name} ({figure['unit'] or 'see each'}): median, lowest and highest of the runs")
        lines += [f"  {key}: {spread(measured)}" for key, measured in figure["numbers"].items()]
    return "\n".join(lines)


def spread(measured: Dict[str, float]) -> str:
    """Return the median, with the range of the runs."""
    if measured["low"] == measured["high"]:
        return _short(measured["median"])
    return f"{_short(measured['median'])} ({_short(measured['low'])} to {_short(measured['high'])})"


def rst(data: Dict[str, Any]) -> List[str]:
    """Return the page's generated parts: the targets, and the numbers behind them."""
    found = ", ".join(f"{name} {version}" for name, version in data["packages"].items())
    dates = sorted({figure["date"] for figure in data["figures"].values()})
    verdicts = [row["reached"] for figure in data["figures"].values() for row in figure["rows"]]
    targets = [
        f"The SDK reaches {verdicts.count(True)} of {verdicts.count(True) + verdicts.count(False)} targets.",
        f"Measured on {' and '.join(dates)}: Python {data['python']}, {data['system']}, {data['cores']} cores;",
        f"{found}.",
        f"Each number is the median of {data['runs']} alternating runs.",
        "",
        *_simple_table(_rows(data)),
        "",
        ".. image:: performance.png",
        "   :alt: Events a second and latency of the SDK and its peers, and each target's ratio",
        *(_STORM_IMAGE if "storm" in data["figures"] else ()),
    ]
    behind = [["figure", "what", "median (spread)", "unit"]]
    for name, figure in data["figures"].items():
        behind += [[name, key, spread(measured), figure["unit"]] for key, measured in figure["numbers"].items()]
    return ["\n".join(targets), "\n".join(_simple_table(behind))]


def write(data: Dict[str, Any], folder: Path) -> None:
    """Write the JSON and the plot."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DATA.name).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    plot(data, folder / PLOT.name)
    if "storm" in data["figures"]:
        plot_storm(data["figures"]["storm"]["numbers"], folder / STORM_PLOT.name)


def write_docs(data: Dict[str, Any]) -> None:
    """Write the page's generated parts, its plots, and the JSON behind them."""
    page = PAGE.read_text(encoding="utf-8")
    for older, newer in zip(in_docs(), rst(data)):
        page = page.replace(f"{BEGIN}\n\n{older}\n\n{END}", f"{BEGIN}\n\n{newer}\n\n{END}")
    PAGE.write_text(page, encoding="utf-8")
    write(data, PAGE.parent)


def in_docs() -> List[str]:
    """Return the generated parts of the page as they are now."""
    page = PAGE.read_text(encoding="utf-8")
    return [part.split(END)[0].strip() for part in page.split(BEGIN)[1:]]


def plot(data: Dict[str, Any], path: Path) -> None:
    """Draw bars: events per second, latency, and the distance of each ratio to its limit."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    wanted = [name for name in ("events", "events-speed", "latency") if name in data["figures"]]
    figure, axes = pyplot.subplots(max(1, len(wanted)), 1, figsize=(9, 3.4 * max(1, len(wanted))), squeeze=False)
    for axis, name in zip(axes[:, 0], wanted):
        found = data["figures"][name]["numbers"]
        if name == "latency":
            found = {key: value for key, value in found.items() if key.endswith("p50")}
        names = sorted(found, key=lambda key: found[key]["median"], reverse=name == "latency")
        medians = [found[key]["median"] for key in names]
        below = [found[key]["median"] - found[key]["low"] for key in names]
        above = [found[key]["high"] - found[key]["median"] for key in names]
        colours = ["#d1495b" if key.startswith("cometchat") else "#8d99ae" for key in names]
        axis.barh(names, medians, color=colours, xerr=[below, above], ecolor="#2b2d42", capsize=2)
        axis.set_title(_PLOT_TITLES[name], loc="left", fontsize=10)
        if name == "latency":
            axis.set_xlim(0, 3 * max(medians))
        axis.tick_params(labelsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def plot_storm(numbers: Dict[str, Dict[str, float]], path: Path) -> None:
    """Draw lines over the number of clients: the time until all are back after a drop, and the CPU of a reconnect."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    counts = (*FEW_CLIENTS, *CLIENTS)
    figure, axes = pyplot.subplots(2, 1, figsize=(9, 6.8))
    for axis, what, title in zip(axes, (ALL_BACK, CPU_EACH), _STORM_TITLES):
        for who, colour in ((SDK, "#d1495b"), (BARE, "#8d99ae")):
            points = [(count, numbers[key(who, count, what)]) for count in counts if key(who, count, what) in numbers]
            medians = [found["median"] for _, found in points]
            below = [found["median"] - found["low"] for _, found in points]
            above = [found["high"] - found["median"] for _, found in points]
            axis.errorbar(
                [count for count, _ in points], medians, [below, above], color=colour, marker="o", capsize=2, label=who
            )
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_xlabel("clients in one process", fontsize=8)
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=8)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


_STORM_TITLES = (
    "Seconds from the drop of all connections until all clients are back: less is better",
    "CPU of a reconnect, milliseconds: less is better",
)

_STORM_IMAGE = (
    "",
    ".. image:: performance-storm.png",
    "   :alt: Time until all clients are back after a drop, and CPU of a reconnect, over the number of clients",
)

_PLOT_TITLES = {
    "events": "Presence events a second, standard library JSON: more is better",
    "events-speed": "The same with orjson and wsaccel installed: more is better",
    "latency": "Latency at 500 events a second, p50, microseconds: less is better",
}


def _rows(data: Dict[str, Any]) -> List[List[str]]:
    rows = [["figure", "to reach", "measured", "reached"]]
    for figure in data["figures"].values():
        for row in figure["rows"]:
            reached = {True: "yes", False: "no", None: ""}[row["reached"]]
            rows.append([row["name"], row["target"].strip(), row["shown"].strip(), reached])
    return rows


def _simple_table(rows: Sequence[Sequence[str]]) -> List[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return [rule, lines[0], rule, *lines[1:], rule]


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def load(path: Path = DATA) -> Dict[str, Any]:
    """Read the results that a run has written."""
    data: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def say(text: str) -> None:
    """Print a line for the user at the terminal."""
    sys.stderr.write(f"{text}\n")
