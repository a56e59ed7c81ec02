"""Named statements: each engine keeps its own in a file `queries.sql`, in front of each a line `-- name: ...`."""

from __future__ import annotations

import re
from importlib.resources import files


def read_statements(package: str) -> dict[str, str]:
    """The statements of a package's file, by name, without the semicolon."""
    text = (files(package) / "queries.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: statement.strip().removesuffix(";") for name, statement in zip(parts[1::2], parts[2::2], strict=True)}
