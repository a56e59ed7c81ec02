"""Commands for what a server keeps: its schema, and what is secret."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from sendoff_server.commands.shared import LOGS, fail, run_telling, with_settings
from sendoff_server.settings import Settings

callbacks = typer.Typer(help="The callbacks that tell when runs have ended.", no_args_is_help=True)
secrets = typer.Typer(help="The keys that encrypt the secrets in the database.", no_args_is_help=True)


@with_settings("database_url", *LOGS)
def migrate(
    settings: Settings,
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; the exit code tells.")] = False,
) -> None:
    """Bring a database on PostgreSQL to this version's schema, for servers whose role may not create tables.

    Servers that may do it themselves when they start. With --check the exit code is 1 unless nothing is missing.
    """
    from sendoff_server import store_parts

    url = settings.postgres_url
    if url is None:
        told = "set SENDOFF_DATABASE_URL to a database on PostgreSQL; one on SQLite is migrated by its server"
        fail(told, code=2)

    async def main(stop: asyncio.Event) -> None:
        number = await store_parts.migrate(url, only_check=check)
        print(f"{settings.database_told} has schema {number}, which this version can use.")

    run_telling(main)


@callbacks.command("secret")
@with_settings("data_dir", "callback_secret_file", *LOGS)
def show_secret(settings: Settings) -> None:
    """Print the secrets that sign callbacks, for their receivers, one a line. The first is made if there is none."""
    from sendoff_server.callbacks.signing import BadSecret, ensure_secrets

    try:
        print("\n".join(ensure_secrets(settings.callback_secret_path)))
    except BadSecret as error:
        fail(str(error), code=2)


@secrets.command("new-key")
def new_encryption_key() -> None:
    """Print a new key for SENDOFF_ENCRYPTION_KEYS."""
    from sendoff_server.encryption_keys import new_key

    print(new_key())


@secrets.command("rotate")
@with_settings("data_dir", "database_url", *LOGS)
def rotate_encryption(settings: Settings) -> None:
    """Encrypt all secrets in the database with the first key of SENDOFF_ENCRYPTION_KEYS, beside servers that have the
    same keys already. After that the other keys can be taken away. The exit code is 1 if a secret cannot be read."""
    from sendoff_server import store_parts
    from sendoff_server.encryption.rotation import Rotation
    from sendoff_server.encryption.sealer import Sealer

    if not settings.encryption:
        fail("there is no key to encrypt with; set SENDOFF_ENCRYPTION_KEYS", code=2)
    rotation = Rotation(Sealer(settings.encryption))

    async def main(stop: asyncio.Event) -> None:
        await store_parts.reseal(settings, rotation.renewed)

    run_telling(main)
    print(f"{rotation.sealed} secrets are encrypted anew, {rotation.current} had the first key already.")
    if rotation.unreadable:
        fail(f"{len(rotation.unreadable)} cannot be read:\n" + "\n".join(rotation.unreadable))
