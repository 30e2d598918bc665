"""Every fault in every phase, with a user's call at that moment. ``COMETCHAT_SOAK=1`` runs the full product."""

from __future__ import annotations

import traceback
from typing import Callable, Iterator, List, Tuple

import pytest
from integration.transport_peers import blackhole

from cometchat.sandbox import Sandbox

from .conftest import SOAK
from .matrix_calls import CALLS
from .matrix_case import Arena, Case, TooSlow
from .matrix_faults import FAULTS
from .matrix_phases import PHASES, Switchboard, silent
from .matrix_witness import open_sockets

#: Maximum number of failures that are reported in full.
TOLD = 5


def cases(phase: str, tls: bool) -> List[Tuple[str, str]]:
    """Return the faults and calls of a phase: all pairs, or in the short form each at least once."""
    if SOAK:
        pairs = [(fault, call) for fault in FAULTS for call in CALLS]
        return pairs if tls is PHASES[phase].tls else pairs[::4]  # a quarter of them a second time, through TLS
    row = list(PHASES).index(phase)
    faults = [name for place, (name, fault) in enumerate(FAULTS.items()) if not fault.rare or (place + row) % 4 == 0]
    # Shifted from phase to phase, so that faults and calls meet in many pairs.
    calls = list(CALLS)[5 * row % len(CALLS) :] + list(CALLS)[: 5 * row % len(CALLS)]
    assert len(faults) >= len(calls)
    return [(fault, calls[turn % len(calls)]) for turn, fault in enumerate(faults)]


@pytest.fixture
def arena(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Arena]:
    """A sandbox, and the ports that do not answer."""
    with blackhole() as hole, silent() as listener:
        yield Arena(sandbox, Switchboard(monkeypatch), listener, hole, open_sockets())


@pytest.mark.parametrize(
    "phase, sandbox",
    [
        pytest.param(name, tls, id=f"{name}, {'wss' if tls else 'ws'}")
        for name, phase in PHASES.items()
        for tls in ((False, True) if SOAK and not phase.tls else (phase.tls,))
    ],
    indirect=["sandbox"],
)
def test_every_fault_keeps_the_promises(phase: str, arena: Arena, figures: Callable[..., None]) -> None:
    """In this phase, after any fault and any call of the user, the promises of the contract hold."""
    failures, slow = [], 0
    todo = cases(phase, arena.sandbox.ca_certs is not None)
    for turn, (fault, call) in enumerate(todo):
        for left in (2, 1, 0):
            try:
                Case(arena, PHASES[phase], FAULTS[fault], CALLS[call], notice=turn % 2 == 1).run()
            except TooSlow if left else ():  # a fault by a busy machine does not happen three times
                slow += 1
                continue
            except Exception:
                failures.append(f"{phase} / {fault} / {call}\n{traceback.format_exc()}")
            finally:
                arena.sandbox.clear_records()
            break
    figures(
        cases=len(todo),
        failures=len(failures),
        slowest_disconnect_ms=round(1000 * arena.slowest_disconnect),
        repeats=arena.repeats,
        slow=slow,
    )
    assert not failures, f"{len(failures)} of {len(todo)}:\n" + "\n".join(failures[:TOLD])
