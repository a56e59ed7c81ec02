"""Who is let in."""

from __future__ import annotations

from sendoff_server.settings.group import Group


class AccessSettings(Group):
    """Who is let in."""
