"""What the HTTP API answers where it refuses: the vendor's codes, in the vendor's envelope."""

from __future__ import annotations

from typing import Dict, Optional


class ApiError(Exception):
    """A refusal: an HTTP status and an error envelope."""

    def __init__(self, status: int, code: str, message: str, details: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    @property
    def envelope(self) -> Dict[str, Dict[str, str]]:
        return {"error": {"code": self.code, "message": self.message, "details": self.details}}


def empty_app_id() -> ApiError:
    return ApiError(400, "AUTH_ERR_EMPTY_APPID", "The appId header is missing or empty.")


def invalid_app_id(app_id: str) -> ApiError:
    return ApiError(401, "AUTH_ERR_INVALID_APPID", f"No app with the id {app_id} exists in this region.")


def empty_api_key() -> ApiError:
    return ApiError(401, "AUTH_ERR_EMPTY_APIKEY", "The apiKey header is missing or empty.")


def api_key_not_found(api_key: str) -> ApiError:
    # The live service repeats the key, so that a client which logs the message shows a secret: here too, on purpose.
    return ApiError(401, "AUTH_ERR_APIKEY_NOT_FOUND", f"There is no API key {api_key}.", "Use a key of this app.")


def empty_auth_token() -> ApiError:
    return ApiError(401, "AUTH_ERR_EMPTY_AUTH_TOKEN", "The authToken header is missing or empty.")


def auth_token_not_found(token: str) -> ApiError:
    # As with the API key: the live service repeats the token.
    return ApiError(
        401, "AUTH_ERR_AUTH_TOKEN_NOT_FOUND", f"There is no auth token {token}.", "Log in again for a valid one."
    )


def uid_not_found(uid: str) -> ApiError:
    return ApiError(404, "ERR_UID_NOT_FOUND", f"There is no user with the uid {uid}.", "Create the user first.")


def guid_not_found(guid: str) -> ApiError:
    return ApiError(404, "ERR_GUID_NOT_FOUND", f"There is no group with the guid {guid}.", "Create the group first.")


# Groups. The codes are the vendor's where one is known; those of an owner who would leave, of a scope that is the same
# and of an unban without a ban are not confirmed, nor are the statuses.


def guid_exists(guid: str) -> ApiError:
    return ApiError(409, "ERR_GUID_ALREADY_EXISTS", f"There is a group with the guid {guid} already.")


def group_not_joined(guid: str) -> ApiError:
    return ApiError(403, "ERR_GROUP_NOT_JOINED", f"You are not in the group {guid}.", "Join the group first.")


def not_a_member(uid: str, guid: str) -> ApiError:
    return ApiError(400, "ERR_NOT_A_MEMBER", f"The user {uid} is not in the group {guid}.")


def already_joined(uid: str, guid: str) -> ApiError:
    return ApiError(409, "ERR_ALREADY_JOINED", f"The user {uid} is in the group {guid} already.")


def banned_member(uid: str, guid: str) -> ApiError:
    return ApiError(403, "ERR_BANNED_GROUPMEMBER", f"The user {uid} is banned from the group {guid}.")


def not_banned(uid: str, guid: str) -> ApiError:
    return ApiError(400, "ERR_NOT_BANNED", f"The user {uid} is not banned from the group {guid}.")


def wrong_group_password(guid: str) -> ApiError:
    return ApiError(403, "ERR_WRONG_GROUP_PASS", f"That is not the password of the group {guid}.")


def group_join_not_allowed(guid: str) -> ApiError:
    return ApiError(403, "ERR_GROUP_JOIN_NOT_ALLOWED", f"The group {guid} is private: a member has to add you.")


def no_scope_clearance(guid: str) -> ApiError:
    return ApiError(403, "ERR_GROUP_NO_SCOPE_CLEARANCE", f"Your scope in the group {guid} does not allow that.")


def no_self_action(guid: str) -> ApiError:
    return ApiError(403, "ERR_GROUP_NO_SELF_ACTION", f"In the group {guid} you can't do that to yourself.")


def owner_may_not_leave(guid: str) -> ApiError:
    return ApiError(403, "ERR_OWNER_EXIT_FORBIDDEN", f"You own the group {guid}, and can't leave it.")


def same_scope(uid: str, scope: str) -> ApiError:
    return ApiError(400, "ERR_SAME_SCOPE", f"The user {uid} is {scope} already.")


# Messages, conversations and calls. The codes of what is not the user's own, and of calls, are not confirmed.


def message_not_found(message_id: str) -> ApiError:
    return ApiError(404, "ERR_MESSAGE_ID_NOT_FOUND", f"There is no message with the id {message_id} for you.")


def message_not_yours(message_id: str) -> ApiError:
    return ApiError(403, "ERR_MESSAGE_NO_ACCESS", f"The message {message_id} is not yours to change.")


def conversation_not_found(other: str) -> ApiError:
    return ApiError(404, "ERR_CONVERSATION_NOT_FOUND", f"You have no conversation with {other}.")


def call_not_found(session_id: str) -> ApiError:
    return ApiError(404, "ERR_CALL_SESSION_NOT_FOUND", f"There is no call with the session id {session_id} for you.")


def call_not_yours(session_id: str) -> ApiError:
    return ApiError(403, "ERR_CALL_NO_ACCESS", f"That is for the other side of the call {session_id} to say.")


def bad_request(details: str) -> ApiError:
    return ApiError(400, "ERR_BAD_REQUEST", "The request is not as the API wants it.", details)


def not_found(path: str) -> ApiError:
    return ApiError(404, "ERR_NOT_FOUND", f"There is nothing at {path}.")


def method_not_allowed(method: str, path: str) -> ApiError:
    return ApiError(405, "ERR_METHOD_NOT_ALLOWED", f"{path} does not take {method}.")


def internal_error() -> ApiError:
    return ApiError(500, "ERR_INTERNAL_SERVER_ERROR", "The sandbox failed; its log has the traceback.")


def of_status(status: int, details: Optional[str] = None) -> ApiError:
    """The envelope for a status that a test asked for."""
    code = "ERR_TOO_MANY_REQUESTS" if status == 429 else f"ERR_HTTP_{status}"
    return ApiError(status, code, f"The sandbox was told to answer {status}.", details or "")
