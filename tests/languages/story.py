"""What every example tells, and how it is held to the server's own log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sendoff import v1
from tests.languages.model import ANSWER

_HEADS = ("health", "agent", "run", "again", "event", "text", "ended", "cancelled", "asks for", "approved")
_LINE = re.compile(rf"^({'|'.join(_HEADS)})(?: (\d+))?: (.*)$")


@dataclass(frozen=True, slots=True)
class Line:
    head: str
    number: int | None
    told: str


def lines_of(printed: Sequence[str]) -> list[Line]:
    """Fails for a line that is none of the story's."""
    lines = []
    for text in printed:
        found = _LINE.match(text)
        assert found, f"not a line of the story: {text!r}"
        head, number, told = found.groups()
        lines.append(Line(head, int(number) if number else None, told))
    return lines


def run_id(printed: Sequence[str]) -> str:
    """Of the run that is watched."""
    (line,) = [line for line in lines_of(printed) if line.head == "run"]
    return line.told


def check(printed: Sequence[str], log: Sequence[v1.RunEvent]) -> None:
    """That it is the whole story, in order, and that what was watched is the log."""
    lines = lines_of(printed)
    before, events, after = _around_events(lines)
    (run,) = [line.told for line in before if line.head == "run"]

    assert [line.head for line in before] == ["health", "agent", "run", "again"]
    assert [line.head for line in after] == ["text", "ended", "cancelled", "asks for", "approved"]
    told = {line.head: line.told for line in (*before, *after)}
    _says(told["health"], "SERVING")
    assert told["agent"].startswith("agent-")
    assert run.startswith("run-")
    assert told["again"] == f"{run} replayed"
    assert told["text"] == "".join(ANSWER)
    _says(told["ended"], "COMPLETED")
    _says(told["cancelled"], "CANCELLED")
    assert told["asks for"] == "memory_insert"
    _says(told["approved"], "COMPLETED")
    assert [(line.number, _plain(line.told)) for line in events] == [
        (event.sequence, _plain(event.WhichOneof("event") or "")) for event in log
    ]


def _around_events(lines: list[Line]) -> tuple[list[Line], list[Line], list[Line]]:
    places = [place for place, line in enumerate(lines) if line.head == "event"]
    assert places, "no event was told"
    first, last = places[0], places[-1] + 1
    return lines[:first], lines[first:last], lines[last:]


def _plain(word: str) -> str:
    """Without what the habits of languages do to a name."""
    return word.replace("_", "").lower()


def _says(told: str, word: str) -> None:
    """That an enum is told, as the language prints it: RUN_STATUS_COMPLETED, Completed, ..."""
    assert _plain(told).endswith(_plain(word)), f"{told!r} is not {word}"
    assert not _plain(told).endswith(_plain(f"NOT_{word}")), told
