"""One process per database: a lock on a file beside it, which the system drops when the process is gone, however."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from sendoff_server.store.port import StoreInUse


class FileLock:
    """Held from `take` to `drop`. The file stays: removing it would let two processes lock two files of one name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @classmethod
    def beside(cls, database: Path) -> Self:
        return cls(database.with_name(database.name + ".lock"))

    def take(self) -> None:
        """Raises StoreInUse at once when another process, or another store of this one, holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            database = self._path.with_suffix("")
            raise StoreInUse(
                f"{database} is in use by another process, which holds {self._path}; "
                "stop that one, or give this one a database of its own"
            ) from error
        self._descriptor = descriptor

    def drop(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
