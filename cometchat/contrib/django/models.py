"""A model without a table: what the admin needs to have a page."""

from __future__ import annotations

from django.db import models


class Connection(models.Model):
    """The connection of the process that is asked. There is no row of it anywhere."""

    class Meta:
        managed = False
        default_permissions = ()
        verbose_name = "connection"
        verbose_name_plural = "connection"
