"""How secrets are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_validator

from sendoff_server.encryption_keys import EncryptionKey, keys_of
from sendoff_server.settings.group import Group


class SecretSettings(Group):
    """How secrets are kept."""

    encryption_keys: str = Field(
        "",
        description="Keys that encrypt the secrets of agents and callback endpoints in the database, each 32 bytes in "
        "base64, as `sendoff-server secrets new-key` makes them; commas between. The first encrypts, all decrypt. All "
        "servers of the database need the same. Empty: they are kept as they are, and only where nobody but this "
        "machine reaches the server does it take secrets of agents.",
        repr=False,
        json_schema_extra={"secret": True},
    )

    audit_days: Annotated[int, Field(ge=0, le=36_500)] = Field(
        90,
        description="How many days it is kept who did what, see `sendoff audit`. 0: for ever.",
    )

    @field_validator("encryption_keys")
    @classmethod
    def _are_keys(cls, keys: str) -> str:
        keys_of(keys)
        return keys

    @property
    def encryption(self) -> Sequence[EncryptionKey]:
        """The keys, the one that encrypts first."""
        return keys_of(self.encryption_keys)
