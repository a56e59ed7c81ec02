"""Where the violations of one request are gathered."""

from __future__ import annotations

from sendoff_server.errors import InvalidRequest, Violation
from sendoff_server.validation.limits import MAX_VIOLATIONS

_QUOTED_CHARACTERS = 64


class Violations:
    """What is wrong with one request, in the order found."""

    __slots__ = ("told",)

    def __init__(self) -> None:
        self.told: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        """Note one. Raises InvalidRequest at once when there are so many that more would help nobody."""
        self.told.append(Violation(field, description))
        if len(self.told) >= MAX_VIOLATIONS:
            raise InvalidRequest(self.told)

    def refuse(self) -> None:
        """Raise InvalidRequest with all of them; return if there are none."""
        if self.told:
            raise InvalidRequest(self.told)


def quoted(value: str) -> str:
    """A caller's value for a message: escaped, and cut if it is long."""
    return repr(value if len(value) <= _QUOTED_CHARACTERS else value[: _QUOTED_CHARACTERS - 1] + "…")
