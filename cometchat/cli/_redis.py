"""redis: show who leads over a Redis, and how far the workers of its streams are

It only reads. The address may contain a password: pass it in the variable COMETCHAT_REDIS_URL, not on the command line.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, List

from ._errors import UsageError
from ._screen import Screen, one_line

if TYPE_CHECKING:
    from cometchat.contrib.redis import Line

#: The exit code after Ctrl-C, since the output is incomplete.
INTERRUPTED = 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("url", nargs="?", metavar="URL", help="address of Redis (default: $COMETCHAT_REDIS_URL)")
    parser.add_argument("--prefix", default="cometchat", help="prefix of the keys in Redis (default: cometchat)")
    parser.add_argument("--json", action="store_true", help="print one JSON array")


def run(options: argparse.Namespace) -> int:
    """Print each line of processes. Returns 1 if a line has no leader."""
    try:
        from cometchat.contrib.redis import RedisStatusStore
    except ModuleNotFoundError as error:
        raise UsageError(str(error)) from error
    url = os.environ.get("COMETCHAT_REDIS_URL") if options.url is None else options.url
    if not url:
        raise UsageError("missing address of Redis: name it, or set COMETCHAT_REDIS_URL")
    store = RedisStatusStore(url, prefix=options.prefix)
    screen, lines = Screen(plain=options.no_color), store.lines()
    if options.json:
        screen.line(json.dumps([asdict(line) for line in lines]))
    else:
        _show(screen, store.address, lines)
    return int(any(line.leader is None for line in lines))


def _show(screen: Screen, address: str, lines: List[Line]) -> None:
    if not lines:
        screen.line(f"No process shares a connection over Redis at {one_line(address)}.")
    for line in lines:
        screen.line((one_line(f"app {line.app_id}, user {line.uid}"), "title"))
        if line.leader is None:
            screen.line(("  leader      none: no process holds the connection", "bad"))
        else:
            screen.line(f"  leader      {one_line(line.leader)} ({line.status or 'connecting'})")
        screen.line(f"  followers   {line.followers}")
        if line.events is not None:
            letters = f", {line.dead_letters} dead letters" if line.dead_letters else ""
            screen.line((f"  stream      {line.events} events{letters}", "warn" if letters else ""))
        for group in line.groups:
            lag = "unknown" if group.lag is None else str(group.lag)
            lost = f", {group.lost} lost in Redis" if group.lost else ""
            text = f"{group.name}: lag {lag}, {group.pending} in work, {group.workers} workers{lost}"
            screen.line((f"  group       {one_line(text)}", "bad" if lost else ""))
