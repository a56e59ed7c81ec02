"""Seals all secrets with the first key, and tells what it found."""

from __future__ import annotations

from sendoff_server.encryption.sealer import Place, Sealer
from sendoff_server.errors import SecretUnreadable


class Rotation:
    """One pass over all secrets."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self.sealed = 0
        """How many were sealed anew."""
        self.current = 0
        """How many were sealed with the first key already."""
        self.unreadable: list[str] = []
        """What is wrong with each of those that cannot be opened. They stay as they are."""

    def renewed(self, tenant: str, owner_id: str, name: str, kept: str) -> str:
        """What is to be kept in place of a secret."""
        place = Place(tenant, owner_id, name)
        try:
            self._sealer.open(kept, place)
        except SecretUnreadable as error:
            self.unreadable.append(error.message)
            return kept
        now = self._sealer.renewed(kept, place)
        self.current += now == kept
        self.sealed += now != kept
        return now
