"""What a tenant, a key or the whole process may take."""

from __future__ import annotations

from sendoff_server.settings.group import Group


class LimitSettings(Group):
    """What a tenant, a key or the whole process may take."""
