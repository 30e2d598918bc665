"""What was heard, held against what happened: legal walks, each transition once, and what a disconnect may cut away."""

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

#: What HTTP may answer a call with: this SDK's codes, and those that the sandbox gives as the server's own.
HTTP_CODES = frozenset(
    {"FAILED_TO_FETCH", "ERR_TOO_MANY_REQUESTS", "ERR_BAD_RESPONSE", "AUTH_ERR_AUTH_TOKEN_NOT_FOUND"}
    | {f"ERR_HTTP_{status}" for status in (401, 500, 503)}
)
#: What may happen to a WebSocket.
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
#: What on_connection_error may bring.
CONNECTION_CODES = HTTP_CODES | SOCKET_CODES


class Note(NamedTuple):
    """A call that the listeners were owed."""

    method: str
    error: Optional[object]


class Witness:
    """Sees every signal that a client's state machine takes, in order: what really happened."""

    def __init__(self, client: Client) -> None:
        self.signals: List[Tuple[Signal, Step]] = []
        machine = client._core.state._machine
        handle = machine.handle

        def seen(signal: Signal, now: float, error: Any = None) -> Step:
            step = handle(signal, now, error)
            self.signals.append((signal, step))  # under the connection's lock: in the order of the steps
            return step

        machine.handle = seen  # type: ignore[method-assign]

    def owed(self) -> Tuple[List[Note], Set[int]]:
        """The calls that the listeners are owed, and the places to which a disconnect or close may have cut."""
        notes: List[Note] = []
        cuts: Set[int] = set()
        for signal, step in list(self.signals):
            notes.extend(Note(notify.method, notify.error) for notify in step.notifications)
            if signal in (Signal.DISCONNECT, Signal.CLOSE):
                cuts.update([place for place, note in enumerate(notes) if note.method == OFF][-1:])
        return notes, cuts


#: The server's word on a credential: no other error may end the attempts, and with one of these there is no other.
FINAL_CODES = frozenset({"WS_AUTH_FAIL", "AUTH_ERR_AUTH_TOKEN_NOT_FOUND", "ERR_HTTP_401"})


class Replay:
    """The model of the contract takes what the client's machine took."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._contract = Contract()
        self._taken = 0

    def status(self) -> str:
        """The model's status by now. It has to allow every signal, and to owe the listeners the same."""
        for signal, step in self._witness.signals[self._taken :]:
            assert self._contract.allows(signal.name), f"{signal} in {vars(self._contract)}"
            owed = self._contract.take(signal.name)
            assert [notify.method for notify in step.notifications] == owed, f"{step}, not {owed}"
            assert signal is not Signal.GAVE_UP, "no strategy has told it to stop"
            if signal is Signal.LOGGED_OUT:
                assert step.notifications[0].error.code == "AUTH_ERR_AUTH_TOKEN_NOT_FOUND", step
            if signal in (Signal.FAILED, Signal.REFUSED):
                error = step.notifications[0].error
                is_final = error is not None and error.code in FINAL_CODES
                assert is_final == (signal is Signal.REFUSED), f"{signal} of {error!r}"
            self._taken += 1
        return self._contract.status


def unheard(witness: Witness, calls: List[Call], *, whole: bool = True) -> Optional[str]:
    """What is wrong with the calls of a listener that was there from the start; None where nothing is.

    Promises 1 and 7: they are the transitions that happened, each once, in order; but a disconnect may cut away what a
    slow listener has kept waiting, up to its own on_disconnected, which is not told to one who knows already.

    :param whole: all of it has been told; False: more may come.
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
        return f"not everything was told; heard {names(calls)}, owed {methods(notes)}"
    return None


def _with_cuts(places: Set[int], notes: List[Note], cuts: Set[int], told: str) -> Set[int]:
    """Where one may be in the notes, having got to one of the places by hearing."""
    reached = set(places)
    for cut in sorted(cuts):
        if any(place < cut for place in reached):
            reached.add(cut)
        if cut in reached and told == OFF:
            reached.add(cut + 1)
    return reached


def names(calls: Iterable[Call]) -> List[str]:
    """The calls' names."""
    return [call.name for call in calls]


def methods(notes: Iterable[Note]) -> List[str]:
    """The notes' methods."""
    return [note.method for note in notes]


def walk(heard: Iterable[str], start: CometChatWSState) -> Optional[CometChatWSState]:
    """The status after these callbacks, from a status on; None where they are no walk through CALLBACKS."""
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
    """Keeps what is logged as an error: a mistake of the SDK or of the sandbox, or a listener that raised."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text, with its traceback."""
        self.texts.append(self.format(record))


class WithErrors:
    """A ``with`` block in which the errors of all "cometchat" loggers are kept."""

    def __init__(self) -> None:
        self._kept = LoggedErrors()

    def __enter__(self) -> List[str]:
        logging.getLogger("cometchat").addHandler(self._kept)
        return self._kept.texts

    def __exit__(self, *exc_info: object) -> None:
        logging.getLogger("cometchat").removeHandler(self._kept)


def open_sockets() -> int:
    """How many sockets this process has; 0 where the system has no /proc."""
    count = 0
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return 0
    for descriptor in descriptors:
        try:
            count += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
        except OSError:
            continue  # closed meanwhile; the one of the listing itself too
    return count


def threads_of(client: Client) -> List[str]:
    """The names of a client's threads that are alive."""
    number = client._core.dispatcher._name.rpartition("-")[2]
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("cometchat-")
        and thread.name.endswith(f"-{number}")
        and not thread.name.startswith("cometchat-sandbox")
    ]
