"""From a host's name to a stream, through a proxy if there is one. One deadline for all of it.

For the WebSocket and for HTTP alike, so that both take the same way and report its failure in the same words.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
from typing import Callable, Dict, NamedTuple, Optional

from ._errors import DialFailed, network_reason, requested_wait
from ._proxy import SOCKS, BadProxy, Proxy, host_and_port
from ._stream import BufferedStream, Interrupted
from ._tcp import Connector, LookUp

#: Maximum bytes of the head of an answer, to CONNECT or to the upgrade.
MAX_HEAD = 65_536

_SOCKS4_REFUSALS = {91: "it refused or failed", 92: "it could not ask this machine's identd", 93: "the user is wrong"}
_SOCKS5_REFUSALS = {
    1: "it failed",
    2: "its rules do not allow it",
    3: "the network can't be reached",
    4: "the host can't be reached",
    5: "the host refused the connection",
    6: "the host did not answer in time",
    7: "it knows no CONNECT",
    8: "it knows no addresses of this kind",
}


class BadAnswer(Exception):
    """What came is no HTTP answer.

    :ivar ended: the connection ended before the answer was whole.
    """

    def __init__(self, why: str, *, ended: bool = False) -> None:
        super().__init__(why)
        self.ended = ended


class Head(NamedTuple):
    """The head of an HTTP answer.

    :ivar headers: by their lower-case names.
    """

    status: int
    headers: Dict[str, str]


class Refused(Exception):
    """An HTTP answer of another status than the one that was asked for."""

    def __init__(self, head: Head) -> None:
        super().__init__(f"HTTP {head.status}")
        self.head = head


class SocksRefused(Exception):
    """A SOCKS proxy made no tunnel; the text says why."""


def dial(
    host: str, port: int, proxy: Optional[Proxy], connector: Connector, now: Callable[[], float]
) -> BufferedStream:
    """Connect to a host, directly or through a proxy; the stream's deadlines are set.

    :param now: Unix seconds, for a proxy's Retry-After.
    :raises DialFailed: with the reason, and the cause attached.
    :raises Interrupted: the connector's wake-up was rung.
    """
    target = host_and_port(host, port)
    peer = target if proxy is None else f"proxy {proxy.name}"
    stream = None
    try:
        if proxy is None:
            return connector.connect(host, port)
        if proxy.scheme == "https":
            raise BadProxy(f"{proxy.name} is not usable for a WebSocket: give http://, socks4:// or socks5://")
        stream = connector.connect(proxy.host, proxy.port)
        if proxy.scheme in SOCKS:
            _ask_socks(stream, proxy, host, port, connector.addresses_of)
        else:
            _ask_for_tunnel(stream, proxy, target)
        return stream
    except Exception as error:
        if stream is not None:
            stream.close()
        if isinstance(error, Interrupted):
            raise
        if proxy is not None and isinstance(error, Refused):
            raise DialFailed(
                f"proxy: {proxy.name} made no tunnel to {target}: it answered HTTP {error.head.status}",
                status=error.head.status,
                retry_after=requested_wait(error.head.status, error.head.headers, now()),
            ) from error
        if proxy is not None and isinstance(error, (BadAnswer, SocksRefused)):
            raise DialFailed(f"proxy: {proxy.name} made no tunnel to {target}: {error}") from error
        raise DialFailed(network_reason(error, peer)) from error


def _ask_for_tunnel(stream: BufferedStream, proxy: Proxy, target: str) -> None:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.auth is not None:
        credentials = base64.b64encode(":".join(proxy.auth).encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {credentials}")
    stream.send("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    head = read_head(stream.recv)
    if not 200 <= head.status < 300:
        raise Refused(head)


def _ask_socks(stream: BufferedStream, proxy: Proxy, host: str, port: int, addresses_of: LookUp) -> None:
    """Ask for a tunnel by SOCKS4 or SOCKS5 (RFC 1928, 1929). The proxy looks the name up if it is 4a or 5h."""
    if proxy.scheme in ("socks4", "socks5"):
        found = addresses_of(host, port)
        usable = [each for each in found if proxy.scheme == "socks5" or each.family == socket.AF_INET]
        if not usable:
            raise SocksRefused(f"{host} has no IPv4 address, and SOCKS4 knows no other")
        host = str(usable[0].address[0]).partition("%")[0]
    if proxy.scheme.startswith("socks4"):
        _ask_socks4(stream, proxy, host, port)
    else:
        _ask_socks5(stream, proxy, host, port)


def _ask_socks4(stream: BufferedStream, proxy: Proxy, host: str, port: int) -> None:
    address, name = _packed(host), b""
    if address is None or len(address) != 4:
        address, name = b"\0\0\0\1", host.encode("idna") + b"\0"
    user = (proxy.auth[0] if proxy.auth else "").encode().replace(b"\0", b"")
    stream.send(b"\4\1" + port.to_bytes(2, "big") + address + user + b"\0" + name)
    answer = _read(stream, 8)
    if answer[0] != 0 or answer[1] != 90:
        raise SocksRefused(_SOCKS4_REFUSALS.get(answer[1], "it speaks no SOCKS4"))


def _ask_socks5(stream: BufferedStream, proxy: Proxy, host: str, port: int) -> None:
    methods = b"\0\2" if proxy.auth else b"\0"
    stream.send(bytes([5, len(methods)]) + methods)
    version, method = _read(stream, 2)
    if version != 5:
        raise SocksRefused("it speaks no SOCKS5")
    if method == 2 and proxy.auth:
        user, password = (part.encode()[:255] for part in proxy.auth)
        stream.send(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if _read(stream, 2)[1] != 0:
            raise SocksRefused("it refused the user name and password")
    elif method != 0:
        raise SocksRefused(
            "it wants another way of authentication" if proxy.auth else "it wants a user name and password"
        )
    packed = _packed(host)
    if packed is None:
        name = host.encode("idna")
        target = bytes([3, len(name)]) + name
    else:
        target = (b"\1" if len(packed) == 4 else b"\4") + packed
    stream.send(b"\5\1\0" + target + port.to_bytes(2, "big"))
    version, code, _, kind = _read(stream, 4)
    if version != 5 or code != 0:
        raise SocksRefused(_SOCKS5_REFUSALS.get(code, "it gave no reason"))
    lengths = {1: 4, 4: 16}
    _read(stream, (lengths[kind] if kind in lengths else _read(stream, 1)[0]) + 2)  # the address that it uses


def _packed(host: str) -> Optional[bytes]:
    try:
        return ipaddress.ip_address(host).packed
    except ValueError:
        return None


def _read(stream: BufferedStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise BadAnswer("it ended the connection", ended=True)
        data += more
    return bytes(data)


def read_head(recv: Callable[[int], bytes]) -> Head:
    """Read the head of an HTTP answer, and not a byte more. Interim answers, such as 103 Early Hints, are skipped.

    :raises BadAnswer: it is no HTTP, is too long, or ends too early.
    """
    left = MAX_HEAD
    while True:
        raw = bytearray()
        while not raw.endswith((b"\n\r\n", b"\n\n")):
            if left <= 0:
                raise BadAnswer(f"its head has more than {MAX_HEAD} bytes")
            byte = recv(1)
            if not byte:
                raise BadAnswer("it ended the connection", ended=True)
            raw += byte
            left -= 1
        head = _parse_head(raw)
        if not 100 <= head.status < 200 or head.status == 101:
            return head


def _parse_head(raw: bytearray) -> Head:
    first, *lines = raw.decode("latin-1").split("\n")
    status = re.match(r"HTTP/1\.[0-9] +([1-9][0-9]{2})(?:\s|$)", first)
    if status is None:
        raise BadAnswer("it speaks no HTTP")
    headers: Dict[str, str] = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if separator:
            name = name.strip().lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return Head(int(status.group(1)), headers)
