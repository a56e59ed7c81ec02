"""Parts of statements that are put together as a query asks. Only fixed texts go into a statement, values are bound.

Values stand as question marks until `numbered` has the whole statement.
"""

from __future__ import annotations

from collections.abc import Sequence

from sendoff_server.store.postgres.connection import folded, sought, sought_bytes

Condition = tuple[str, Sequence[object]]
"""SQL, and the values of its question marks."""


def joined(conditions: Sequence[Condition]) -> tuple[str, list[object]]:
    """All must hold."""
    values = [sought(value) for _, values in conditions for value in values]
    return " AND ".join(text for text, _ in conditions), values


def of_tenant(column: str, tenant: str, *, narrow: bool) -> Condition:
    """`narrow`: other conditions find few rows, so that no index that begins with the tenant is to be walked for it in
    the order that is asked for."""
    return (f"{column} || '' = ?" if narrow else f"{column} = ?"), (tenant,)


def one_of(column: str, kind: str, values: Sequence[object]) -> Condition:
    return f"{column} = ANY (?::{kind}[])", ([sought(value) for value in values],)


def contains(column: str, searched: str) -> Condition:
    """`column`, which is folded, has it in it, in whatever case."""
    return f"position(?::bytea IN {column}) > 0", (folded(searched),)


def follows(columns: tuple[str, str], after: tuple[int, str] | None, *, newest_first: bool) -> Sequence[Condition]:
    """Behind that place of a list that goes by these columns."""
    if after is None:
        return ()
    return [(f"({', '.join(columns)}) {'<' if newest_first else '>'} (?::bigint, ?::text)", after)]


def tagged(table: str, owner: str, tenant: str, tags: Sequence[str], *, all_of_them: bool) -> Sequence[Condition]:
    """The thing with the number `owner`, a column, has one of the tags, or all of them; `table` has its tags.

    Its owners are gathered first: PostgreSQL before 18 may else walk all things and look at the tags of each."""
    if not tags:
        return ()
    wanted = sorted(set(map(sought_bytes, tags)))
    owners = f"SELECT owner_no FROM {table} WHERE tenant = ? AND tag = ANY (?::bytea[])"  # noqa: S608
    if all_of_them:
        owners += f" GROUP BY owner_no HAVING count(*) = {len(wanted)}"
    return [(f"{owner} = ANY (ARRAY({owners}))", (tenant, wanted))]
