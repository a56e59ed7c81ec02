"""Parts of statements that are put together as a query asks. Only fixed texts go into a statement, values are bound."""

from __future__ import annotations

from collections.abc import Sequence

Condition = tuple[str, Sequence[object]]
"""SQL, and the values of its question marks."""


def joined(conditions: Sequence[Condition]) -> tuple[str, list[object]]:
    """All must hold."""
    return " AND ".join(text for text, _ in conditions), [value for _, values in conditions for value in values]


def one_of(column: str, values: Sequence[object]) -> Condition:
    return f"{column} IN ({', '.join('?' * len(values))})", values


def contains(text: str, searched: str) -> Condition:
    """`text`, which is SQL, has it in it, in whatever case."""
    return f"instr(folded({text}), ?) > 0", (searched.casefold(),)


def follows(columns: tuple[str, str], after: tuple[int, str] | None, *, newest_first: bool) -> Sequence[Condition]:
    """Behind that place of a list that goes by these columns."""
    if after is None:
        return ()
    (first, second), than = columns, "<" if newest_first else ">"
    value, entry_id = after
    return [(f"{first} {than}= ? AND ({first} {than} ? OR {second} {than} ?)", (value, value, entry_id))]


def tagged(table: str, owner: str, tenant: str, tags: Sequence[str], *, all_of_them: bool) -> Sequence[Condition]:
    """The thing with the number `owner`, a column, has one of the tags, or all of them; `table` has its tags."""
    if not tags:
        return ()
    wanted = sorted(set(tags))
    having, values = one_of("tag", wanted)
    owners = f"SELECT owner_no FROM {table} WHERE tenant = ? AND {having}"  # noqa: S608
    if all_of_them:
        owners += f" GROUP BY owner_no HAVING count(*) = {len(wanted)}"
    return [(f"{owner} IN ({owners})", (tenant, *values))]
