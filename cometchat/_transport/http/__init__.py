"""HTTP calls to the service, over requests."""

from ._connections import MAX_BODY, shared_connections
from ._rest import RequestsRest

__all__ = ["MAX_BODY", "RequestsRest", "shared_connections"]
