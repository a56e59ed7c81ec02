"""Connections: how they are encrypted, how long they live, how many there may be."""

from __future__ import annotations

from sendoff_server.settings.group import Group


class EdgeSettings(Group):
    """Connections: how they are encrypted, how long they live, how many there may be."""
