"""Creates clients of the redis library: from an address, or by a function of the application."""

from __future__ import annotations

import inspect
import logging
import weakref
from typing import Any, Callable, Dict, Union

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from ..._fork_marks import process_name
from ..._log import SafeLog
from ...exceptions import unusable
from ._wire import shut

logger = SafeLog(logging.getLogger("cometchat.redis"))

#: The redis library has no types for it.
_read_url: Callable[[str], Dict[str, Any]] = parse_url

_EXPECTED = (
    'an address such as "redis://localhost:6379/0", "rediss://..." or "unix://...", or a function that returns a'
    " new client of the redis library (not of redis.asyncio)"
)


class Connections:
    """Creates clients of the redis library.

    :param source: an address, or a function without parameters. The function is called for each connection, so that it
        can use a changed password.
    :raises CometChatException: ``INVALID_URL``.
    """

    def __init__(self, source: Union[str, Callable[[], Any]]) -> None:
        self._source = source
        self._newest: Callable[[], Any] = lambda: None  # pool of the function's newest client
        if callable(source):
            self.address = getattr(source, "__qualname__", type(source).__qualname__) + "()"
        else:
            kwargs = self.make(1.0).connection_pool.connection_kwargs  # checks the address without connecting
            self.address = str(kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}")

    def make(self, timeout: float) -> Any:
        """Return a client with its own pool. A client from an address is not yet connected.

        :param timeout: seconds for each call.
        """
        if callable(self._source):
            client: Any = self._source()
            self._bind(client, timeout)
            return client
        if not isinstance(self._source, str):
            raise unusable("url", _EXPECTED)
        try:
            options = {"client_name": _client_name(), **_read_url(self._source), **_fixed(timeout)}
            options["protocol"] = 2  # with protocol 3 redis-py 5 prints published messages on standard error
            if str(options.get("ssl_cert_reqs")) != "none" and _is_tls(options):
                options["ssl_check_hostname"] = True  # not the default before redis-py 6.0
            # Not from_url(), in which the address's options take precedence: the lease depends on these options.
            return redis.Redis(connection_pool=redis.ConnectionPool(**options))
        except (ValueError, TypeError):
            raise unusable("url", _EXPECTED) from None  # the library's message may contain the password

    def _bind(self, client: Any, timeout: float) -> None:
        """Set the options that the store needs, in a new client from the application.

        :raises CometChatException: ``INVALID_URL``: it is not a new client.
        """
        pool: Any = getattr(client, "connection_pool", None)
        nodes: Any = getattr(client, "nodes_manager", None)
        owner = nodes if pool is None else pool
        if owner is None or inspect.iscoroutinefunction(getattr(client, "execute_command", None)):
            raise unusable("url", _EXPECTED)
        if owner is self._newest():
            raise unusable("url", "a function that returns a new client, with its own pool, each time")
        self._newest = weakref.ref(owner)
        if pool is not None:
            pools = [pool]
            all_kwargs = [pool.connection_kwargs]
        else:  # a Cluster, which has already asked a node for the other nodes
            pools = [node.redis_connection.connection_pool for node in client.get_nodes() if node.redis_connection]
            all_kwargs = [nodes.connection_kwargs, *(each.connection_kwargs for each in pools)]
        for kwargs in all_kwargs:
            kwargs["client_name"] = kwargs.get("client_name") or _client_name()
            kwargs.update(_fixed(timeout))
        for each in pools:
            each.disconnect()  # created with other options


class Link:
    """One thread's client of the redis library, created when it is needed.

    :param make: creates a client.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._client: Any = None

    def get(self) -> Any:
        """Return the client."""
        if self._client is None:
            self._client = self._make()
        return self._client

    def drop(self) -> None:
        """Close a failed client. The next one may have another address or password. Never raises."""
        client, self._client = self._client, None
        if client is not None:
            try:
                shut(client)
            except Exception as error:
                logger.debug("Could not close a client of Redis: %s", error)


def _fixed(timeout: float) -> Dict[str, Any]:
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": False,
    }


def _client_name() -> str:
    return f"cometchat:{process_name()}"


def _is_tls(options: Dict[str, Any]) -> bool:
    made_by = options.get("connection_class")
    return isinstance(made_by, type) and issubclass(made_by, redis.SSLConnection)
