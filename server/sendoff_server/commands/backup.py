"""`sendoff-server backup` and `restore`: a database on SQLite as one file, taken beside a server that runs."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sendoff_server.commands.shared import LOGS, fail, run_telling, with_settings
from sendoff_server.settings import Settings

_STORE = ("data_dir", "database_url", "callback_secret_file", *LOGS)
_POSTGRES = "the database is on PostgreSQL, which has programs of its own for it: pg_dump and pg_restore"

File = Annotated[Path, typer.Argument(help="The file of the backup.", show_default=False)]


@with_settings(*_STORE)
def backup(settings: Settings, file: File) -> None:
    """Copy the database into a new file, as it is at one moment; a server that runs goes on meanwhile.

    What servers are told by files and variables is not in it; what of that belongs to it is printed.
    """
    from sendoff_server import store_parts

    _refuse_postgres(settings)
    _run(store_parts.back_up, settings, file)
    size = file.stat().st_size
    print(f"{file} has {settings.database_path}, looked through, in {size / 1e6:,.1f} MB.")
    print(f"Keep with it, apart from it: {_kept_beside(settings)}.", file=sys.stderr)


@with_settings(*_STORE)
def restore(
    settings: Settings,
    file: File,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Where a database is already, keep that as NAME.replaced.")
    ] = False,
) -> None:
    """Put a backup in the database's place, while no server runs. The next start goes on with the runs in it."""
    from sendoff_server import store_parts

    _refuse_postgres(settings)
    _run(store_parts.restore, settings, file, replace)
    print(f"{settings.database_path} is what {file} has.")


def _run(act: Any, *arguments: Any) -> None:
    """In a thread, so that a signal ends it. What goes wrong is told in one line."""
    from sendoff_server.store.port import BackupRefused

    async def main(_: asyncio.Event) -> None:
        await asyncio.to_thread(act, *arguments)

    run_telling(main, BackupRefused)


def _refuse_postgres(settings: Settings) -> None:
    if settings.postgres_url is not None:
        fail(_POSTGRES, code=2)


def _kept_beside(settings: Settings) -> str:
    signs = f"{settings.callback_secret_path}, which signs callbacks"
    return f"{signs}, and the keys of SENDOFF_ENCRYPTION_KEYS" if settings.encryption_keys else signs
