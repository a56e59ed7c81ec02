"""A next version of the server, as far as its tables go: a copy of the sources with further migrations, which uses what
they make.

The first adds a column that the version before knows nothing of, and changes the type of one that it reads; the second
makes an index without keeping anybody from the table.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import sendoff_server
from sendoff_server.store.postgres import migrations

_EXPAND = """-- oldest program: {before}
ALTER TABLE run ADD COLUMN taken_at timestamptz;  -- NULL: taken by a version that does not tell
ALTER TABLE run ALTER COLUMN priority TYPE integer;
"""
_INDEX = """-- oldest program: {before}
-- outside a transaction
DROP INDEX CONCURRENTLY IF EXISTS run_by_taking;
CREATE INDEX CONCURRENTLY run_by_taking ON run (taken_at);
"""
_USE = """

_flush_before = flush


async def flush(connection, *arguments):
    results = await _flush_before(connection, *arguments)
    taken = [result.run.id for result in results if type(result).__name__ == "Placed"]
    statement = "UPDATE run SET taken_at = clock_timestamp() WHERE id = ANY ($1::text[]) AND taken_at IS NULL"
    if taken:
        await connection.execute(statement, taken)
    return results
"""


def make_next_version(folder: Path) -> Path:
    """The folder to import it from."""
    package = Path(sendoff_server.__file__).parent
    # With what is compiled, so that it starts as soon as the one before.
    copy = Path(shutil.copytree(package, folder / package.name))
    last = len(migrations.known())
    for number, text in enumerate((_EXPAND, _INDEX), last + 1):
        (copy / "store/postgres/migrations" / f"{number:04}_next.sql").write_text(text.format(before=last))
    with (copy / "store/postgres/write.py").open("a") as module:
        module.write(_USE)
    return folder
