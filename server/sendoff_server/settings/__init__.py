"""What an operator can set: environment variables `SENDOFF_*`, and the same as flags of `sendoff-server serve`.

Read once, in `__main__`; every part is handed what it needs. The table in the README is made from these fields.
"""

from __future__ import annotations

from sendoff_server.settings.access import AccessSettings
from sendoff_server.settings.core import CoreSettings
from sendoff_server.settings.edge import EdgeSettings
from sendoff_server.settings.limits import LimitSettings
from sendoff_server.settings.providers import ProviderSettings
from sendoff_server.settings.secrets import SecretSettings
from sendoff_server.settings.sight import SightSettings

__all__ = ["ProviderSettings", "Settings"]


class Settings(SightSettings, SecretSettings, LimitSettings, EdgeSettings, AccessSettings, CoreSettings):
    """Settings of the server; in the README in the order of their groups, those of the core first."""
