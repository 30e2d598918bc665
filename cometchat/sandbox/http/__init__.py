"""The HTTP API: its routes and its envelopes."""

from ._api import Api, error_text
from ._cors import cors_headers
from ._rate_limit import RateLimiter, retry_headers
from ._request import ApiRequest
from ._uploads import LARGEST_BODY, Limits, Uploads

__all__ = [
    "Api",
    "ApiRequest",
    "LARGEST_BODY",
    "Limits",
    "RateLimiter",
    "Uploads",
    "cors_headers",
    "error_text",
    "retry_headers",
]
