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
