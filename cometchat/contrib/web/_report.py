"""The status of a client as data for JSON."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Mapping, Optional, Tuple

from cometchat import CometChatException, CometChatWSState

from .._arguments import AnyClient

#: The statuses of a connection that is up.
UP = (CometChatWSState.CONNECTED, CometChatWSState.FEATURE_THROTTLED)


def status_report(client: AnyClient, since: Optional[float] = None) -> Dict[str, Any]:
    """Return the status with its details, without secrets. Any thread; makes no HTTP call.

    Not for visitors: error messages name hosts, ports and files. :class:`StatusFeed` shows visitors the code only.

    :param client: a Client, or CometChat, also before ``init``.
    :param since: Unix seconds at which you noticed the status.
    :returns: ``status``; ``since`` (ISO 8601, UTC, or None); ``reason``: while the connection is down the newest
        error's ``code`` and ``message``, else None; ``user``: the uid, or None; ``leader``: ``host:pid`` of the process
        that holds a shared connection, or None.
    """
    return report_of(client, client.get_connection_status(), since)


def report_of(
    client: AnyClient,
    status: CometChatWSState,
    since: Optional[float],
    past: Optional[CometChatException] = None,
    login_error: Optional[CometChatException] = None,
) -> Dict[str, Any]:
    """Return the same as :func:`status_report`.

    :param past: the newest error when the connection was last up. It is not the reason for a later loss.
    :param login_error: the reason if no user is logged in and the client has no newer error.
    """
    user, error, leader = user_error_and_leader(client)
    reason = None
    if error is None or error is past:
        error = login_error if user is None else None
    if error is not None and status not in UP:
        reason = {"code": error.code, "message": error.message}
    return {"status": status.value, "since": _iso(since), "reason": reason, "user": user, "leader": leader}


def without_details(report: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a report for visitors, without the uid and without names of hosts and files."""
    reason = report["reason"]
    return {**report, "reason": None if reason is None else {"code": reason["code"]}, "user": None, "leader": None}


def user_error_and_leader(
    client: AnyClient,
) -> Tuple[Optional[str], Optional[CometChatException], Optional[str]]:
    """Return the uid, the newest error and the leader. For a closed or missing client, the error says so."""
    try:
        info = client.connection_info()
        return info.uid, info.last_error, info.leader
    except CometChatException as closed_or_not_made:
        return None, closed_or_not_made, None


def _iso(seconds: Optional[float]) -> Optional[str]:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
