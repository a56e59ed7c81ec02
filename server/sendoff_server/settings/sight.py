"""What the server tells of itself."""

from __future__ import annotations

from sendoff_server.settings.group import Group


class SightSettings(Group):
    """What the server tells of itself."""
