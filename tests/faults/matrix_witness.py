"""The comparison of callbacks and events: legal walks, each transition once, and the events that a disconnect may cut.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any, Iterable, List, NamedTuple, Optional, Set, Tuple

from integration.conftest import Call

from cometchat import Client, CometChatWSState
from cometchat._protocol._states import CALLBACKS, Signal, Step

from .model_contract import Contract

ERROR = "on_connection_error"
OFF = "on_disconnected"

#: Codes of an HTTP call's errors: this SDK's, and those that the sandbox gives as the server's own.
HTTP_CODES = frozenset(
    {"FAILED_TO_FETCH", "ERR_TOO_MANY_REQUESTS", "ERR_BAD_RESPONSE", "AUTH_ERR_AUTH_TOKEN_NOT_FOUND"}
    | {f"ERR_HTTP_{status}" for status in (401, 500, 503)}
)
#: Codes of failures of a WebSocket.
SOCKET_CODES = frozenset(
    {
        "WS_CONNECTION_FAIL",
        "WS_AUTH_FAIL",
        "ERR_CONNECT_TIMEOUT",
        "ERR_AUTH_TIMEOUT",
        "ERR_PONG_TIMEOUT",
        "ERR_PROTOCOL",
    }
)
#: Codes of on_connection_error.
CONNECTION_CODES = HTTP_CODES | SOCKET_CODES


class Note(NamedTuple):
    """A call that the listeners must get."""

    method: str
    error: Optional[object]


def notes_of(step: Step) -> List[Note]:
    """Return the calls that a step of the machine owes to the listeners, in order."""
    notes = [] if step.error is None else [Note(ERROR, step.error)]
    return notes if step.transition is None else [*notes, Note(step.transition, None)]


class Witness:
    """Records every signal of a client's state machine, in order."""

    def __init__(self, client: Client) -> None:
        self.signals: List[Tuple[Signal, Step]] = []
        machine = client._core.state._machine
        handle = machine.handle

        def seen(signal: Signal, now: float, error: Any = None) -> Step:
            step = handle(signal, now, error)
            self.signals.append((signal, step))  # under the connection's lock, in the order of the steps
            return step

        machine.handle = seen  # type: ignore[method-assign]

    def owed(self) -> Tuple[List[Note], Set[int]]:
        """Return the calls that the listeners must get, and the places to which a disconnect or close may have cut."""
        notes: List[Note] = []
        cuts: Set[int] = set()
        for signal, step in list(self.signals):
            notes += notes_of(step)
            if signal in (Signal.DISCONNECT, Signal.CLOSE):
                cuts.update([place for place, note in enumerate(notes) if note.method == OFF][-1:])
        return notes, cuts


#: The server's refusal of a credential. No other error may end the attempts, and each of these ends them.
FINAL_CODES = frozenset({"WS_AUTH_FAIL", "AUTH_ERR_AUTH_TOKEN_NOT_FOUND", "ERR_HTTP_401"})


class Replay:
    """Replays the signals of the client's machine in the model of the contract."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._contract = Contract()
        self._taken = 0

    def status(self) -> str:
        """Return the model's status. The model must allow every signal, and lead to the same calls."""
        for signal, step in self._witness.signals[self._taken :]:
            assert self._contract.allows(signal.name), f"{signal} in {vars(self._contract)}"
            owed = self._contract.take(signal.name)
            assert [note.method for note in notes_of(step)] == owed, f"{step}, not {owed}"
            assert signal is not Signal.GAVE_UP, "no strategy has told it to stop"
            if signal is Signal.LOGGED_OUT:
                assert step.error is not None and step.error.code == "AUTH_ERR_AUTH_TOKEN_NOT_FOUND", step
            if signal in (Signal.FAILED, Signal.REFUSED):
                error = step.error
                is_final = error is not None and error.code in FINAL_CODES
                assert is_final == (signal is Signal.REFUSED), f"{signal} of {error!r}"
            self._taken += 1
        return self._contract.status


def unheard(witness: Witness, calls: List[Call], *, whole: bool = True) -> Optional[str]:
    """Return what is wrong with the calls of a listener from the start, or None.

    Promises 1 and 7: the calls are the transitions, each once, in order. But a disconnect may cut the calls that a slow
    listener has kept waiting, up to its own on_disconnected. A listener that knows of the end already does not get
    that.

    :param whole: all calls have been made. With False, more may follow.
    """
    notes, cuts = witness.owed()
    told = OFF
    places = _with_cuts({0}, notes, cuts, told)
    for count, call in enumerate(calls):
        argument = call.argument
        places = {
            place + 1
            for place in places
            if place < len(notes) and notes[place].method == call.name and notes[place].error is argument
        }
        if not places:
            return f"{call.name} (number {count + 1}) did not happen then; heard {names(calls)}, owed {methods(notes)}"
        told = told if call.name == ERROR else call.name
        places = _with_cuts(places, notes, cuts, told)
    if whole and len(notes) not in places:
        return f"some calls are missing: called {names(calls)}, expected {methods(notes)}"
    return None


def _with_cuts(places: Set[int], notes: List[Note], cuts: Set[int], told: str) -> Set[int]:
    """Return the possible places in the notes after these calls, with cuts."""
    reached = set(places)
    for cut in sorted(cuts):
        if any(place < cut for place in reached):
            reached.add(cut)
        if cut in reached and told == OFF:
            reached.add(cut + 1)
    return reached


def names(calls: Iterable[Call]) -> List[str]:
    """Return the calls' names."""
    return [call.name for call in calls]


def methods(notes: Iterable[Note]) -> List[str]:
    """Return the notes' methods."""
    return [note.method for note in notes]


def walk(heard: Iterable[str], start: CometChatWSState) -> Optional[CometChatWSState]:
    """Return the status after these callbacks from a status on, or None if CALLBACKS does not allow them."""
    status = start
    for name in heard:
        if name == ERROR:
            continue
        steps = [new for (old, new), method in CALLBACKS.items() if old is status and method == name]
        if not steps:
            return None
        (status,) = steps
    return status


class LoggedErrors(logging.Handler):
    """Keeps records of errors: a mistake of the SDK or of the sandbox, or a listener that raised."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text, with its traceback."""
        self.texts.append(self.format(record))


class WithErrors:
    """Keeps the errors of all "cometchat" loggers within a ``with`` block."""

    def __init__(self) -> None:
        self._kept = LoggedErrors()

    def __enter__(self) -> List[str]:
        logging.getLogger("cometchat").addHandler(self._kept)
        return self._kept.texts

    def __exit__(self, *exc_info: object) -> None:
        logging.getLogger("cometchat").removeHandler(self._kept)


def open_sockets() -> int:
    """Return the number of this process's sockets, or 0 on systems without /proc."""
    count = 0
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return 0
    for descriptor in descriptors:
        try:
            count += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
        except OSError:
            continue  # closed meanwhile, like the one of the listing itself
    return count


def threads_of(client: Client) -> List[str]:
    """Return the names of a client's living threads."""
    number = client._core.dispatcher._thread.name.rpartition("-")[2]
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("cometchat-")
        and thread.name.endswith(f"-{number}")
        and not thread.name.startswith("cometchat-sandbox")
    ]
