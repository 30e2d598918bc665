"""HTTP calls to the service, over requests."""

from ._connections import shared_connections
from ._limits import MAX_BODY
from ._rest import RequestsRest

__all__ = ["MAX_BODY", "RequestsRest", "shared_connections"]
