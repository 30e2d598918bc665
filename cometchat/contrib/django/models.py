"""A model without a table, because a page of the admin needs a model."""

from __future__ import annotations

from typing import Tuple

from django.db import models


class _NoRows(models.Manager["Connection"]):
    """Asks no database. ``dumpdata`` and other tools read every model."""

    def get_queryset(self) -> models.QuerySet[Connection]:
        return super().get_queryset().none()


class Connection(models.Model):
    """The connection of the answering process. It has no table."""

    objects: _NoRows = _NoRows()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions: Tuple[()] = ()
        verbose_name = "connection"
        verbose_name_plural = "connection"
