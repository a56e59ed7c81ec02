"""Migrations as both engines have them: numbered files, forward only, never changed once released.

While servers are replaced one by one, and after a step back to the version before, programs work on a schema that is
newer than they are. So a migration tells in the comments at the head of its file which is the oldest program that may,
by the last migration that this one has:

    -- oldest program: 3

Without that line it is the first that has the migration itself, and all before it refuse to start. What cannot be done
in a transaction stands in a file of its own, which can be repeated if it was broken off, and is marked:

    -- outside a transaction

How to change tables so that older programs may stay is told in `server/README.md`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

import structlog

from sendoff_server.store.port import NewerSchema

_OLDEST = re.compile(r"-- oldest program: (\d+)")
_OUTSIDE = "-- outside a transaction"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    text: str

    @property
    def oldest(self) -> int:
        """Number of the last migration of the oldest program that may work on what this one makes."""
        told = [int(match[1]) for line in self._head() if (match := _OLDEST.fullmatch(line))]
        return told[0] if told else self.number

    @property
    def in_transaction(self) -> bool:
        return _OUTSIDE not in self._head()

    def _head(self) -> list[str]:
        return re.match(r"(--.*\n)*", self.text)[0].splitlines()  # type: ignore[index]  # it matches every text


@dataclass(frozen=True, slots=True)
class Schema:
    """Which a database has."""

    number: int
    oldest: int
    """Number of the last migration of the oldest program that may work on it."""

    def admit(self, known: int) -> None:
        """Let a program in whose last migration that is, where none of it is missing. Raises NewerSchema."""
        self.refuse(known)
        if self.number > known:
            log.info("the schema is of a newer version and lets this one go on", schema=self.number, known=known)

    def refuse(self, known: int) -> None:
        """Raises NewerSchema if a program in whose last migration that is may not work on it."""
        if self.oldest > known:
            raise NewerSchema(
                f"the database has schema {self.number}, which programs that know {self.oldest} or more can use, and "
                f"this one knows {known}; start the version that wrote it, or a newer one"
            )


def read_migrations(package: str) -> list[Migration]:
    """Those of an engine, in order. Raises ValueError if they are not numbered 1, 2, 3, or one admits a program that
    cannot be."""
    found = [
        Migration(int(entry.name.partition("_")[0]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in (files(package) / "migrations").iterdir()
        if entry.name.endswith(".sql")
    ]
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are not numbered 1 to {len(found)}: {[migration.name for migration in found]}")
    for migration in found:
        if not 1 <= migration.oldest <= migration.number:
            raise ValueError(f"{migration.name}: the oldest program is none of 1 to {migration.number}")
    return found
