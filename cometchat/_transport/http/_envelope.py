"""An answer of the service: its envelope's data, or its error in this SDK's words. No I/O."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Optional, Type

from ...exceptions import (
    ERR_BAD_RESPONSE,
    ERR_TOO_MANY_REQUESTS,
    AuthenticationException,
    CometChatException,
    ConnectionException,
    RateLimitException,
    exception_for,
)
from .._json_decoder import loads
from .._printable import printable
from ..net import requested_wait
from ._limits import MAX_BODY

_NO_JSON = object()

#: The first letters of codes that are about a credential.
_CREDENTIAL_CODES = ("AUTH_ERR", "ERR_AUTH_TOKEN", "ERR_AUTHTOKEN")


def data_of(
    host: str, method: str, status: int, headers: Mapping[str, str], payload: Optional[bytes], expect: type, now: float
) -> Any:
    """Return the ``data`` of an answer's envelope.

    :param payload: the body; None: it was over the limit.
    :param expect: what ``data`` has to be, dict or list.
    :param now: Unix seconds.
    :raises CometChatException: the server's own error, or that this is not the protocol's answer.
    """
    if method == "DELETE" and 200 <= status < 300 and payload is not None and not payload.strip():
        return expect()  # deleted, and nothing to say about it
    answer = _parse(payload)
    envelope = answer if isinstance(answer, dict) else {}
    error = envelope.get("error")
    retry_after = requested_wait(status, headers, now)
    if isinstance(error, dict) and (error.get("code") or error.get("message")):
        raise _server_error(error, status, retry_after)
    if status == 429:
        raise exception_for(
            ERR_TOO_MANY_REQUESTS, f"{host} answered 429: too many requests.", retry_after=retry_after
        )
    data = envelope.get("data")
    if not 200 <= status < 300 or not isinstance(data, expect):
        raise exception_for(
            ERR_BAD_RESPONSE,
            f"{host} answered HTTP {status} with {_describe(payload, answer)}, not with the protocol's JSON"
            " envelope. Is this the right host, or does a proxy answer in its place?",
            details=f"HTTP {status}",
            retry_after=retry_after,
        )
    return data


def _parse(payload: Optional[bytes]) -> object:
    """Return the JSON, or ``_NO_JSON``."""
    if payload is None:
        return _NO_JSON
    try:
        return loads(payload)
    except ValueError:
        return _NO_JSON


def _server_error(error: Dict[str, Any], status: int, retry_after: Optional[float]) -> CometChatException:
    """Return the server's own ``{code, message, details}``."""
    fallback = ERR_TOO_MANY_REQUESTS if status == 429 else f"HTTP_{status}"
    code = _text(error.get("code") or fallback)
    return _class_of(code, status)(
        code,
        _text(error.get("message") or f"HTTP status {status}"),
        name=_text(error["name"]) if error.get("name") else None,
        details=_details(error),
        retry_after=retry_after,
    )


def _class_of(code: str, status: int) -> Type[CometChatException]:
    """Judge by the code before the status: a 403 may be about the plan, and a 400 about the token."""
    if status == 429 or code == ERR_TOO_MANY_REQUESTS:
        return RateLimitException
    if status == 401 or code.startswith(_CREDENTIAL_CODES):
        return AuthenticationException
    if status >= 500 or status == 408:
        return ConnectionException
    return CometChatException


def _details(error: Dict[str, Any]) -> Optional[str]:
    """Return ``details``, an object of them as one text; else ``devMessage``, if it says more than ``message``."""
    details = error.get("details")
    if details in (None, "", {}, []):
        more = error.get("devMessage")
        details = None if more == error.get("message") else more
    if not isinstance(details, dict):
        return None if details is None else _text(details)
    parts = []
    for field, value in details.items():
        texts = value if isinstance(value, list) else [value]
        parts.append(f"{_text(field)}: {' '.join(map(_text, texts))}")
    return "; ".join(parts)


def _text(value: object) -> str:
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except (RecursionError, ValueError):  # as deep as could just be read
            return "nested too deep to show"
    return printable(value)


def _describe(payload: Optional[bytes], answer: object) -> str:
    if payload is None:
        return f"more than {MAX_BODY} bytes"
    if not payload.strip():
        return "an empty body"
    return "text that is not JSON" if answer is _NO_JSON else "JSON of another shape"
