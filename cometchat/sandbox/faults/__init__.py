"""Faults on demand."""

__all__: "list[str]" = []
