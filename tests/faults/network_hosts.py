"""Two hosts and the cable between them: network namespaces and a veth pair, with failures of a network.

If a machine does not permit an action, the action raises :class:`Unavailable` with the reason.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Optional

import cometchat

from .network_program import Program

HERE = Path(__file__).parent

#: Addresses and devices. Each pair of hosts is alone with them.
SERVER, CLIENT, MOVED = "10.77.0.1", "10.77.0.2", "10.77.0.3"
DEVICE = "eth0"

#: Instructions of the classic BPF for a tc filter. The verdict 2 is TC_ACT_SHOT, and 4294967295 is TC_ACT_UNSPEC. The
#: second one first loads a random number of 32 bits.
DROP_ALL = "1,6 0 0 2"
DROP_SOME = "4,32 0 0 4294963256,37 0 1 {limit},6 0 0 2,6 0 0 4294967295"

_numbers = itertools.count(1)


class Unavailable(Exception):
    """The machine does not permit the action."""


def run(*words: str) -> None:
    """Run a command of the system.

    :raises Unavailable: the command is missing, or fails.
    """
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
    except FileNotFoundError as error:
        raise Unavailable(f"the command '{words[0]}' is missing (Debian, Ubuntu: iproute2)") from error
    if done.returncode:
        raise Unavailable(f"'{' '.join(words)}' failed: {' '.join(done.stdout.split()) or done.returncode}")


class Hosts:
    """The sandbox's host and the client's. :meth:`close` ends both, with the programs on them.

    :raises Unavailable: the system is not Linux, the user not root, or the kernel has no namespaces or no veth.
    """

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise Unavailable("network namespaces are Linux's")
        if os.geteuid() != 0:
            raise Unavailable("only root can make network namespaces")
        number = f"{os.getpid()}-{next(_numbers)}"
        self._names = {SERVER: f"cometchat-s-{number}", CLIENT: f"cometchat-c-{number}"}
        self._programs: List[Program] = []
        self._blocked: List[str] = []
        try:
            for name in self._names.values():
                run("ip", "netns", "add", name)
            server, client = self._names.values()
            run("ip", "link", "add", DEVICE, "netns", server, "type", "veth", "peer", "name", DEVICE, "netns", client)
            for address, name in self._names.items():
                run("ip", "-n", name, "link", "set", "lo", "up")
                run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", DEVICE)
                run("ip", "-n", name, "link", "set", DEVICE, "up")
            run("ip", "netns", "exec", client, "true")
            self._repeat_syn_as_most_kernels_do()
        except BaseException:
            self.close()
            raise

    def program(self, host: str, name: str, *arguments: str, resolver: Optional[Path] = None) -> Program:
        """Start a program of this folder on a host, and wait until it is ready.

        :param resolver: the content of its ``/etc/resolv.conf``.
        """
        root = str(Path(cometchat.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [root, str(HERE), os.environ.get("PYTHONPATH")]))
        command = ["ip", "netns", "exec", self._names[host]]
        if resolver is not None:  # ip netns exec has given it separate mounts
            mount = ["sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(resolver)]
            run(*command, *mount, "true")
            command += mount
        command += [sys.executable, str(HERE / name), *arguments]
        program = Program(command, {**os.environ, "PYTHONPATH": path})
        self._programs.append(program)
        program.wait_for("ready")
        return program

    def close(self) -> None:
        """End the programs and remove the hosts."""
        try:
            for program in reversed(self._programs):
                program.close()
        finally:
            self._programs.clear()
            if shutil.which("ip"):
                for name in self._names.values():
                    subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, timeout=20)

    # Failures of the network. Neither side ends its connections: there is no FIN and no RST.

    def pull_cable(self) -> None:
        """Pull the cable at the server's end. The client's device has no carrier, and keeps its address and routes."""
        run("ip", "-n", self._names[SERVER], "link", "set", DEVICE, "down")

    def plug_cable(self) -> None:
        """Plug the cable in again."""
        run("ip", "-n", self._names[SERVER], "link", "set", DEVICE, "up")

    def take_device_down(self) -> None:
        """Take the client's device down, as a change of Wi-Fi does: its routes are gone."""
        run("ip", "-n", self._names[CLIENT], "link", "set", DEVICE, "down")

    def take_device_up(self) -> None:
        """Take the device up, with its routes."""
        run("ip", "-n", self._names[CLIENT], "link", "set", DEVICE, "up")

    def drop(self, *receivers: str, fraction: float = 1.0) -> None:
        """Drop packets that arrive at a host, or some of them. No side is notified, and the client notices nothing."""
        code = DROP_ALL if fraction >= 1 else DROP_SOME.format(limit=int((1 - fraction) * 2**32))
        for receiver in receivers:
            name = self._names[receiver]
            if receiver not in self._blocked:
                run("tc", "-n", name, "qdisc", "add", "dev", DEVICE, "clsact")
                self._blocked.append(receiver)
            # Only IPv4, so that the neighbour's hardware address stays known, as behind a router.
            words = ["ingress", "pref", "1", "protocol", "ip", "bpf", "da", "bytecode", code]
            run("tc", "-n", name, "filter", "add", "dev", DEVICE, *words)

    def pass_all(self) -> None:
        """Stop dropping packets."""
        while self._blocked:
            run("tc", "-n", self._names[self._blocked.pop()], "qdisc", "del", "dev", DEVICE, "clsact")

    def move_client(self, old: str, new: str) -> None:
        """Give the client another address, and remove the old one."""
        run("ip", "-n", self._names[CLIENT], "addr", "del", f"{old}/24", "dev", DEVICE)
        run("ip", "-n", self._names[CLIENT], "addr", "add", f"{new}/24", "dev", DEVICE)

    def slow_down(self, seconds: float) -> None:
        """Send all packets over a line with this delay, one way."""
        if not os.path.exists("/dev/net/tun"):
            raise Unavailable("there is no /dev/net/tun")
        server, client = self._names.values()
        try:
            self.program(SERVER, "network_wire.py", str(seconds), "slow0", "slow1")
        except AssertionError as error:
            raise Unavailable("no TUN device can be made") from error
        run("ip", "-n", server, "link", "set", "slow1", "netns", client)
        for name, device, here, there in ((server, "slow0", SERVER, CLIENT), (client, "slow1", CLIENT, SERVER)):
            run("ip", "-n", name, "link", "set", device, "up")
            run("ip", "-n", name, "route", "add", f"{there}/32", "dev", device, "src", here)

    def _repeat_syn_as_most_kernels_do(self) -> None:
        """Repeat SYN after 1, 3 and 7 s. Since Linux 6.5 the first ones follow a second apart, which is easier."""
        setting = "/proc/sys/net/ipv4/tcp_syn_linear_timeouts"
        script = f"test ! -e {setting} || echo 0 > {setting}"
        run("ip", "netns", "exec", self._names[CLIENT], "sh", "-c", script)
