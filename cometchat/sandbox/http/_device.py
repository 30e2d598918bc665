"""The checks of the headers that every request has, and of the bodies of a login."""

from __future__ import annotations

import re
from typing import Any, List, Mapping

from .._shape import any_text, app_info, is_object, problems, resource, text
from ._request import ApiRequest

_SDK = re.compile(r"[A-Za-z]+@\S+")


def header_problems(request: ApiRequest) -> List[str]:
    """Return the problems of a request's headers, without ``appId`` and credentials.

    Android's client sends no Accept, and no resource with the calls for auth tokens and settings.
    """
    headers: Mapping[str, str] = request.headers
    wrong = []
    if not headers.get("Accept", "application/json").startswith("application/json"):
        wrong.append("header Accept is not application/json")
    if request.form is None and not headers.get("Content-Type", "").startswith("application/json"):
        wrong.append("header Content-Type is neither application/json nor multipart/form-data")
    if not _SDK.fullmatch(headers.get("sdk", "")):
        wrong.append("header sdk is missing or wrong")
    bare = request.path.endswith("/auth_tokens") or request.path == "/settings"
    if not resource(headers.get("resource")) and not (bare and "resource" not in headers):
        wrong.append("header resource is missing or wrong")
    return wrong


def device_problems(body: Any) -> List[str]:
    """Return the problems of the body of ``POST /users/{uid}/auth_tokens`` and ``PUT /me``."""
    required = {"platform": text, "deviceId": text, "appInfo": is_object}
    wrong = problems("body", body, required, {"uid": text, "userAgent": any_text})
    if not isinstance(body, dict):
        return wrong
    return wrong + app_info("body.appInfo", body.get("appInfo"), {})
