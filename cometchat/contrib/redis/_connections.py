"""Creates and uses clients of the redis library: from an address, or by a function of the application."""

from __future__ import annotations

import inspect
import logging
import weakref
from typing import Any, Callable, Dict, Optional, Sequence, TypeVar, Union

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from cometchat import ConnectionException

from ..._deferred import deferred
from ..._fork_marks import process_name
from ..._log import SafeLog
from ...exceptions import unusable

logger = SafeLog(logging.getLogger("cometchat.redis"))

T = TypeVar("T")

#: Errors of a Redis that can't be used. The second one, of a Cluster that can't be reached, is not a RedisError.
OUTAGES = (redis.RedisError, redis.exceptions.RedisClusterException, OSError)

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
        if deferred(source) is not None:
            raise unusable("url", _EXPECTED)
        if callable(source):
            self.address = getattr(source, "__qualname__", type(source).__qualname__) + "()"
        else:
            kwargs = self._checked()
            self.address = str(kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}")

    def _checked(self) -> Dict[str, Any]:
        """Return the options of a connection, made without connecting, so that a misspelt one is noticed now."""
        pool = self.make(1.0).connection_pool
        try:
            pool.make_connection()
        except (redis.RedisError, ValueError, TypeError):
            raise unusable("url", _EXPECTED) from None  # as in make()
        kwargs: Dict[str, Any] = pool.connection_kwargs
        return kwargs

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


def run(client: Any, script: str, keys: Sequence[str], *arguments: Any) -> int:
    """Run a script that returns a number.

    :param client: of the redis library, whose types differ between its versions.
    """
    return int(client.eval(script, len(keys), *keys, *arguments))


def shut(client: Any) -> None:
    """Close a client of the redis library and its connections. (Some versions do not close these.)"""
    client.close()
    pool = getattr(client, "connection_pool", None)  # each node of a Cluster has a pool, which close() closes
    if pool is not None:
        pool.disconnect()


def ask(connect: Callable[[], Any], address: str, question: Callable[[Any], T]) -> T:
    """Return the answer to a question, from a client of the redis library that is closed afterwards.

    :param connect: creates the client. That of a Cluster connects at once.
    :param address: without a password.
    :raises ConnectionException: ``ERR_STATUS_STORE``: Redis can't be used.
    """
    link = Link(connect)
    try:
        return question(link.get())
    except OUTAGES as error:
        raise unreachable(address, error) from error
    finally:
        link.drop()


def if_stream_exists(question: Callable[[], T]) -> Optional[T]:
    """Return the answer to a question about a stream, or None before the stream exists."""
    try:
        return question()
    except redis.ResponseError as error:
        if "no such key" not in str(error):
            raise
        return None


def unreachable(address: str, cause: Exception) -> ConnectionException:
    """Return the error for a Redis that can't be used.

    :param address: without a password.
    """
    hint = ""
    if isinstance(cause, redis.exceptions.MovedError) or str(cause).startswith("MOVED "):  # redis-py 5 has no class
        hint = (
            " This is a Redis Cluster: give RedisStatusStore a function that returns a redis.RedisCluster, in place of"
            " an address."
        )
    error = ConnectionException(
        "ERR_STATUS_STORE",
        f"Redis at {address} can't be used ({type(cause).__name__}): until it can, no process knows which of them holds"
        f" the connection.{hint}",
        details=str(cause) or None,
    )
    error.__cause__ = cause
    return error
