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
_READ = "SELECT tenant, id, body FROM run WHERE id = ANY ($1::text[])"
_WRITE = "start_before_ns, fingerprint, body{column}\n)\nSELECT *{value} FROM unnest("
_USE = (
    (_READ, _READ + " AND coalesce(taken_at, '-infinity') < clock_timestamp()"),
    (_WRITE.format(column="", value=""), _WRITE.format(column=", taken_at", value=", clock_timestamp()")),
)


def make_next_version(folder: Path) -> Path:
    """The folder to import it from."""
    package = Path(sendoff_server.__file__).parent
    # With what is compiled, so that it starts as soon as the one before.
    copy = Path(shutil.copytree(package, folder / package.name))
    last = len(migrations.known())
    for number, text in enumerate((_EXPAND, _INDEX), last + 1):
        (copy / "store/postgres/migrations" / f"{number:04}_next.sql").write_text(text.format(before=last))
    queries = copy / "store/postgres/queries.sql"
    text = queries.read_text()
    for before, after in _USE:
        assert text.count(before) == 1, f"the version before has changed: {before}"
        text = text.replace(before, after)
    queries.write_text(text)
    return folder
