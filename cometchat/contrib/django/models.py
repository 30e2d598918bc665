"""A model without a table, because a page of the admin needs a model."""

from __future__ import annotations

from typing import Tuple

from django.db import models


class Connection(models.Model):
    """The connection of the answering process. It has no table."""

    class Meta:
        managed = False
        default_permissions: Tuple[()] = ()
        verbose_name = "connection"
        verbose_name_plural = "connection"
