"""A slow line: it passes packets from one TUN device to the other, each with this delay in seconds.

    network_wire.py DELAY DEVICE DEVICE

For kernels without the qdisc ``netem``. It ends when its standard input ends.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque
from typing import Deque, Dict, Tuple

from network_program import say

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def device(name: str) -> int:
    """Make a TUN device, and return its descriptor.

    If the device moves to another namespace, the descriptor stays valid.
    """
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return descriptor


def main(delay: float, *names: str) -> None:
    """Carry packets until the input ends."""
    one, two = (device(name) for name in names)
    other: Dict[int, int] = {one: two, two: one}
    waiting: Deque[Tuple[float, int, bytes]] = deque()
    say("ready")
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        ready, _, _ = select.select([sys.stdin, one, two], [], [], timeout)
        if sys.stdin in ready:
            return
        for descriptor in ready:
            waiting.append((time.monotonic() + delay, other[descriptor], os.read(descriptor, 65536)))
        while waiting and waiting[0][0] <= time.monotonic():
            _, descriptor, packet = waiting.popleft()
            try:
                os.write(descriptor, packet)
            except OSError as error:  # the device is down, and so is the line
                say("dropped", why=str(error))


if __name__ == "__main__":
    main(float(sys.argv[1]), *sys.argv[2:])
