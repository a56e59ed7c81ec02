"""Who is let in."""

from __future__ import annotations

from pydantic import Field

from sendoff_server.settings.group import Group


class AccessSettings(Group):
    """Who is let in."""

    insecure: bool = Field(
        False,
        description="Listen on addresses that other machines reach although there are no keys, so that whoever reaches "
        "them may do everything. Once there are keys it changes nothing: every call needs one.",
    )
