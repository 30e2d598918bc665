"""The calls of the HTTP API about users, and about whom a user has blocked. Loop thread only."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from .._state import State
from ..chat import _errors as errors
from ..chat._users import Account
from ._request import Call, Listing, Route, WhoIs, numbered_page


class UserRoutes:
    """Each answers with the ``data`` of the success envelope, or refuses with ``ApiError``.

    :param is_online: whether a user has a socket.
    """

    def __init__(self, state: State, is_online: Callable[[str], bool], who_is: WhoIs) -> None:
        self._accounts = state.accounts
        self._is_online = is_online
        self._who_is = who_is

    @property
    def routes(self) -> List[Route]:
        """Method, path, answer."""
        return [
            ("GET", r"/users", self._list),
            ("GET", r"/users/([^/]+)", self._get),
            ("GET", r"/blockedusers", self._blocked),
            ("POST", r"/blockedusers", self._block),
            ("DELETE", r"/blockedusers", self._block),
        ]

    def _list(self, call: Call) -> Listing:
        # Not confirmed: that the one who asks is not in it.
        me, word = self._me(call), call.query.get("searchKey", "").lower()
        others = [account for account in self._accounts.users.values() if account is not me]
        shown = [self._shown(account, me) for account in others if word in account.name.lower()]
        status = call.query.get("status")
        return numbered_page(call, [user for user in shown if status in (None, user["status"])])

    def _get(self, call: Call, uid: str) -> Dict[str, Any]:
        me = self._me(call)
        return self._shown(self._accounts.of(uid), me)

    def _blocked(self, call: Call) -> Listing:
        me = self._me(call)
        both = [account for account in self._accounts.users.values() if account is not me]
        wanted = call.query.get("direction", "both")
        return numbered_page(
            call,
            [
                self._shown(account, me)
                for account in both
                if (account.uid in me.blocked and wanted != "hasBlockedMe")
                or (me.uid in account.blocked and wanted != "blockedByMe")
            ],
        )

    def _block(self, call: Call) -> Dict[str, Any]:
        """Block users, or unblock them; for each what came of it."""
        me, uids = self._me(call), call.fields.get("blockedUids")
        if not isinstance(uids, list) or not all(isinstance(uid, str) for uid in uids):
            raise errors.bad_request("The field blockedUids is missing, or not a list of texts.")
        known = [uid for uid in uids if uid in self._accounts.users and uid != me.uid]
        me.block(known, call.method == "POST")
        return {uid: {"success": uid in known} for uid in uids}

    def _me(self, call: Call) -> Account:
        return self._accounts.of(self._who_is(call))

    def _shown(self, account: Account, me: Account) -> Dict[str, Any]:
        return account.fields_for(me, online=self._is_online(account.uid))
