"""Programs that are connected and fork. Usage: forks.py WHAT [NUMBER]. Prints the events as JSON lines."""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import warnings
from typing import Any, Callable, Dict, List, Optional

import joining

from cometchat import Client, ConnectionListener, TextMessage

CLIENT: Optional[Client] = None


def tell(**what: Any) -> None:
    joining.say(json.dumps(what))


def in_child(act: Callable[[], object], while_it_lives: Callable[[], object] = lambda: None) -> int:
    """Fork, act in the child, and wait for it. Returns its wait status, or -1 if it does not end within 10 s."""
    pid = os.fork()
    if pid == 0:
        act()
        os._exit(70)  # only if the action has returned
    while_it_lives()
    return wait_for_child(pid)


def wait_for_child(pid: int) -> int:
    """Wait for a child. Returns its wait status, or -1 if it does not end within 10 s."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.002)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return -1


def work(_number: int) -> Dict[str, Any]:
    """Run in a process of multiprocessing: with the inherited client, or with a new one."""
    if CLIENT is not None:
        return joining.report(CLIENT)
    with joining.joined() as client:
        return joining.report(client)


def work_and_tell(number: int, queue: Any) -> None:
    queue.put(work(number))


def with_multiprocessing(method: str, number: int) -> None:
    """Start two processes, then a pool of two.

    The pool ends each process after one task, and so forks from its threads.
    """
    context: Any = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    processes = [context.Process(target=work_and_tell, args=(place, queue)) for place in range(2)]
    for process in processes:
        process.start()
    answers = [queue.get() for _ in processes]
    for process in processes:
        process.join(20)
    codes = [process.exitcode for process in processes]
    with context.Pool(2, maxtasksperchild=1) as pool:
        answers += pool.map(work, range(number), chunksize=1)
        pool.close()
        pool.join()
    tell(answers=answers, codes=codes)


def children_that_end_at_once(number: int) -> None:
    """End each child in another way: by os._exit, by another program, and as Python ends."""
    ways: List[Callable[[], object]] = [
        lambda: os._exit(0),
        lambda: os.execv(sys.executable, [sys.executable, "-S", "-c", ""]),
        lambda: sys.exit(0),
    ]
    statuses = [in_child(ways[turn % len(ways)]) for turn in range(number)]
    tell(statuses=statuses)


def subprocesses(number: int) -> None:
    """Start programs with a function that runs in the child before the other program."""
    results = [
        subprocess.run(
            [sys.executable, "-S", "-c", "print(1)"], preexec_fn=os.setsid, stdout=subprocess.PIPE, timeout=20
        )
        for _ in range(number)
    ]
    tell(results=[[result.returncode, result.stdout.decode().strip()] for result in results])


def one_child(_number: int) -> None:
    """Fork a child. It waits for a connection as long as the test wants, then asks for one."""
    assert CLIENT is not None
    client = CLIENT

    def act() -> None:
        came = client.wait_for_status("connected", 1.0)
        tell(by_itself=came, status=client.get_connection_status(), where="child")
        client.connect(10)
        tell(**joining.report(client), where="child")
        client.disconnect()
        os._exit(0)

    tell(statuses=[in_child(act)])


def locks() -> List[Any]:
    """Return every lock of the SDK's objects and classes, except those that a fork takes itself."""
    found: Dict[int, Any] = {}
    kinds = (type(threading.Lock()), type(threading.RLock()), threading.Condition)
    for thing in gc.get_objects():
        cls = thing if isinstance(thing, type) else type(thing)
        if not str(cls.__module__).startswith("cometchat.") or cls.__name__ in ("ForkProtocol", "OutboxStore"):
            continue
        slots = [name for each in cls.__mro__ for name in getattr(each, "__slots__", ())]
        values = [getattr(thing, name, None) for name in slots] + list(getattr(thing, "__dict__", {}).values())
        found.update((id(value), value) for value in values if isinstance(value, kinds))
    return list(found.values())


def hold_every_lock(held: threading.Event, release: threading.Event) -> None:
    """Hold all locks, like working threads. A lock whose holder waits for another one stays with its holder."""
    with contextlib.ExitStack() as stack:
        taken = 0
        for lock in locks():
            if lock.acquire(timeout=0.5):
                stack.callback(lock.release)
                taken += 1
        tell(held=taken)
        held.set()
        release.wait(20)


def child_of_a_busy_parent(_number: int) -> None:
    """Fork while another thread holds every lock. The child sends, and ends as Python does. Then fork an idle child."""
    assert CLIENT is not None
    client = CLIENT

    def put(text: str) -> None:
        client.outbox.put(TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text=text))
        assert client.outbox.flush(10)

    def act() -> None:
        user = client.get_logged_in_user()
        came = client.wait_for_status("connected", 10)
        put("of the child")
        tell(**joining.report(client), by_itself=came, uid=user.uid if user else None)
        client.disconnect()
        sys.exit(0)

    put("before")
    held, release = threading.Event(), threading.Event()
    holder = threading.Thread(target=hold_every_lock, args=(held, release))
    holder.start()
    assert held.wait(20)
    statuses = [in_child(act, while_it_lives=release.set)]
    holder.join()
    statuses.append(in_child(lambda: sys.exit(0)))
    put("after")
    tell(statuses=statuses)


def child_left_alone(_number: int) -> None:
    """Do nothing for a while."""
    assert CLIENT is not None
    client = CLIENT

    def act() -> None:
        tell(by_itself=client.wait_for_status("connected", 1.0), where="child")
        os._exit(0)

    tell(statuses=[in_child(act)])


def daemon(_number: int) -> None:
    """Become a daemon: the child's child continues, and its parents end."""
    assert CLIENT is not None
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    tell(**joining.report(CLIENT), where="daemon")
    joining.told_to_go_on()
    sys.exit(0)


class ForksInCallback(ConnectionListener):
    """Forks in the callback of the connection. The child leaves the callback in one of three ways."""

    def __init__(self) -> None:
        self.children: List[int] = []
        self.ways: List[str] = ["exit", "raise", "return"]

    def on_connected(self) -> None:
        way = self.ways.pop(0)
        pid = os.fork()
        if pid:
            self.children.append(pid)
            return
        time.sleep(0.3)  # time for actions that the child starts by itself
        tell(way=way, threads=threading.active_count(), wanted=CLIENT is not None and CLIENT._core.state.wanted)
        if way == "exit":
            sys.exit(7)
        if way == "raise":
            raise ValueError(way)


def children_of_a_callback(_number: int) -> None:
    """End each child with its callback."""
    assert CLIENT is not None
    listener = ForksInCallback()
    CLIENT.add_connection_listener(listener)
    statuses: List[int] = []
    for count in range(1, 4):
        CLIENT.disconnect()
        CLIENT.connect(10)
        while len(listener.children) < count:
            time.sleep(0.01)
        statuses.append(wait_for_child(listener.children[-1]))
    tell(statuses=statuses)


def main(what: str, number: str = "1") -> None:
    global CLIENT
    warnings.simplefilter("ignore")  # Python warns of forking with threads
    manual = what == "left_alone"
    CLIENT = joining.logged_in(auto_establish_socket_connection=not manual)
    if what == "waiting":
        CLIENT.wait_for_status("connecting", 10)
    elif not manual:
        CLIENT.connect(10)
    joining.say("ready")
    joining.told_to_go_on()
    acts: Dict[str, Callable[[int], None]] = {
        "fork": lambda number: with_multiprocessing("fork", number),
        "spawn": lambda number: with_multiprocessing("spawn", number),
        "forkserver": lambda number: with_multiprocessing("forkserver", number),
        "callback": children_of_a_callback,
        "at_once": children_that_end_at_once,
        "subprocess": subprocesses,
        "locked": child_of_a_busy_parent,
        "one": one_child,
        "waiting": one_child,
        "left_alone": child_left_alone,
        "daemon": daemon,
    }
    acts[what](int(number))
    if not manual and what != "waiting":
        tell(**joining.report(CLIENT), where="parent")
    CLIENT.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
