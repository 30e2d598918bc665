"""Asks a proxy for a tunnel, by HTTP CONNECT, SOCKS4 or SOCKS5 (RFC 1928, 1929)."""

from __future__ import annotations

import ipaddress
import socket
from typing import Callable, List, Optional

from ..._proxy_address import SOCKS, Proxy
from ._errors import DialFailed, network_reason
from ._host_probe import Address
from ._http_head import BadAnswer, Refused, read_head
from ._proxy import host_and_port
from ._stream import BufferedStream

_SOCKS4_REFUSALS = {91: "it refused or failed", 92: "it could not ask this machine's identd", 93: "the user is wrong"}
_SOCKS5_REFUSALS = {
    1: "it failed",
    2: "its rules do not allow it",
    3: "the network can't be reached",
    4: "the host can't be reached",
    5: "the host refused the connection",
    6: "the host did not answer in time",
    7: "it does not support CONNECT",
    8: "it does not support this type of address",
}


def host_for(proxy: Proxy, host: str, port: int, addresses_of: Callable[[str, int], List[Address]]) -> str:
    """Return the host for which a proxy is asked: an address for SOCKS4 and SOCKS5. All others look the name up.

    :raises DialFailed: the host has no address, or is not the name of a host. The proxy is not to blame.
    :raises BadAnswer: it has no IPv4 address, which SOCKS4 requires.
    """
    is_looked_up = proxy.scheme in ("socks4", "socks5")
    try:
        if proxy.scheme in SOCKS:
            host.encode("idna")  # the request contains the name in this form
        found = addresses_of(host, port) if is_looked_up else []
    except (OSError, UnicodeError) as error:
        raise DialFailed(network_reason(error, host_and_port(host, port))) from error
    if not is_looked_up:
        return host
    usable = [each for each in found if proxy.scheme == "socks5" or each.family == socket.AF_INET]
    if not usable:
        raise BadAnswer(f"{host} has no IPv4 address, and SOCKS4 supports no other")
    return str(usable[0].address[0]).partition("%")[0]


def ask_for_tunnel(stream: BufferedStream, proxy: Proxy, host: str, port: int) -> None:
    """Ask the proxy at the other end of the stream for a tunnel to a host.

    :param host: see :func:`host_for`.
    :raises Refused, BadAnswer: the proxy did not open a tunnel.
    """
    if proxy.scheme.startswith("socks4"):
        _ask_socks4(stream, proxy, host, port)
    elif proxy.scheme in SOCKS:
        _ask_socks5(stream, proxy, host, port)
    else:
        _ask_http(stream, proxy, host_and_port(host, port))


def _ask_http(stream: BufferedStream, proxy: Proxy, target: str) -> None:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    stream.send("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    head = read_head(stream.take)
    if not 200 <= head.status < 300:
        raise Refused(head)


def _ask_socks4(stream: BufferedStream, proxy: Proxy, host: str, port: int) -> None:
    address, name = _packed(host), b""
    if address is None or len(address) != 4:
        address, name = b"\0\0\0\1", host.encode("idna") + b"\0"
    user = (proxy.auth[0] if proxy.auth else "").encode().replace(b"\0", b"")
    stream.send(b"\4\1" + port.to_bytes(2, "big") + address + user + b"\0" + name)
    answer = _read(stream, 8)
    if answer[0] != 0 or answer[1] != 90:
        raise BadAnswer(_SOCKS4_REFUSALS.get(answer[1], "it does not use SOCKS4"))


def _ask_socks5(stream: BufferedStream, proxy: Proxy, host: str, port: int) -> None:
    methods = b"\0\2" if proxy.auth else b"\0"
    stream.send(bytes([5, len(methods)]) + methods)
    version, method = _read(stream, 2)
    if version != 5:
        raise BadAnswer("it does not use SOCKS5")
    if method == 2 and proxy.auth:
        user, password = (part.encode()[:255] for part in proxy.auth)
        stream.send(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if _read(stream, 2)[1] != 0:
            raise BadAnswer("it refused the user name and password")
    elif method != 0:
        raise BadAnswer(
            "it requires another method of authentication" if proxy.auth else "it requires a user name and password"
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
        raise BadAnswer(_SOCKS5_REFUSALS.get(code, "it gave no reason"))
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
            raise BadAnswer("it closed the connection")
        data += more
    return bytes(data)
