"""How secrets are kept."""

from __future__ import annotations

from sendoff_server.settings.group import Group


class SecretSettings(Group):
    """How secrets are kept."""
