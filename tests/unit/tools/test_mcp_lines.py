"""Lines of any length, in memory that does not grow with them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sendoff_server.tools.mcp.lines import BoundedLines, TooLong

LIMIT = 300


@given(st.lists(st.binary(max_size=2 * LIMIT)), st.integers(1, 3 * LIMIT))
def test_every_line_comes_out_whole_or_is_told_to_be_too_long_however_it_is_cut(lines: list[bytes], size: int) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    stream = b"".join(line + b"\n" for line in lines)
    cutter = BoundedLines(LIMIT)

    came_out = [line for start in range(0, len(stream), size) for line in cutter.feed(stream[start : start + size])]

    assert len(came_out) == len(lines)
    for line, came in zip(lines, came_out, strict=True):
        if len(line) <= LIMIT:
            assert came == line
        else:
            assert isinstance(came, TooLong)
            assert line.startswith(came.head)
            assert line.endswith(came.tail)
            assert min(len(came.head), len(came.tail)) == 256


def test_a_line_without_an_end_takes_no_more_room_than_one_that_is_allowed() -> None:
    cutter = BoundedLines(LIMIT)
    for _ in range(1_000):
        assert cutter.feed(b"x" * 1_000) == []

    assert len(cutter._line) <= LIMIT
