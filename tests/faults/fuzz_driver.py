"""Runs a fuzz target under atheris, in a separate process: ``python -m faults.fuzz_driver TARGET libFuzzer-options``.

It imports neither the target nor the SDK before atheris, which instruments them during the import.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple, Tuple

TESTS = Path(__file__).resolve().parents[1]

#: Maximum time for one input, in seconds, and maximum memory of the process, in MB.
SLOW, MEMORY = 20, 1024

available = importlib.util.find_spec("atheris") is not None


class Outcome(NamedTuple):
    """The result of a run."""

    status: int
    inputs: int
    growth: int
    output: str


def run(target: str, seconds: int, folder: Path) -> Outcome:
    """Fuzz for some seconds.

    :param folder: gets the files of libFuzzer, such as an input that broke the target.
    :returns: the exit status, the number of inputs, and the growth of the process in MB.
    """
    corpus = folder / "corpus"
    corpus.mkdir()
    options = [f"-max_total_time={seconds}", f"-timeout={SLOW}", f"-rss_limit_mb={MEMORY}", "-max_len=1024"]
    command = [sys.executable, "-m", "faults.fuzz_driver", target, str(corpus), *options, f"-artifact_prefix={folder}/"]
    # libFuzzer looks at the maximum of the process's memory. Linux begins it with that of the process that starts it,
    # and other tests have made this one large. So a small process starts it.
    between = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"]
    paths = [str(TESTS), str(TESTS.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    ended = subprocess.run(
        [*between, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=folder,
        env=environment,
        timeout=2 * seconds + 120,
    )
    inputs, memory = _told(ended.stdout)
    return Outcome(ended.returncode, inputs, memory[-1] - memory[0] if memory else 0, ended.stdout[-6000:])


def _told(output: str) -> Tuple[int, List[int]]:
    """Return the number of inputs in libFuzzer's output, and the MB of each of its lines from the first to the last."""
    done = re.search(r"Done (\d+) runs", output)
    return int(done.group(1)) if done else 0, [int(each) for each in re.findall(r"rss: (\d+)Mb", output)]


def main(arguments: List[str]) -> None:
    """Run in the separate process."""
    import atheris

    name, corpus = arguments[1:3]
    with atheris.instrument_imports(include=["cometchat"]):
        target = importlib.import_module(f"faults.{name}")
    for number, seed in enumerate(target.SEEDS):
        Path(corpus, f"seed-{number}").write_bytes(seed)
    from faults.fuzz_values import ThreadWatch

    with ThreadWatch() as watch:

        def one(data: bytes) -> None:
            target.one_input(data)
            assert not watch.deaths, watch.deaths[0]

        atheris.Setup([arguments[0], *arguments[2:]], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
