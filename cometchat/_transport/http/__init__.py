"""HTTP calls to the service, over requests."""

from ._limits import MAX_BODY
from ._rest import RequestsRest, Route, resolve_route

__all__ = ["MAX_BODY", "RequestsRest", "Route", "resolve_route"]
