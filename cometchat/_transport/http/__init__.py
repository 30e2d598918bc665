"""HTTP calls to the service, over requests."""

from ._limits import MAX_BODY
from ._rest import RequestsRest

__all__ = ["MAX_BODY", "RequestsRest"]
