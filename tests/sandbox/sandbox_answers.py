"""Reads the answers of the sandbox's HTTP API."""

from __future__ import annotations

from typing import Tuple

import requests


def code(answer: requests.Response) -> Tuple[int, str]:
    """Return the HTTP status and the error code of a refusal."""
    return answer.status_code, answer.json()["error"]["code"]
