"""What memory tools make of a block's value, and what they say where they make nothing of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sendoff import v1
from sendoff_server.tools.memory_edits import AT_THE_END, inserted, replaced
from sendoff_server.tools.memory_port import EditRefused


def block(value: str, *, limit: int = 100, read_only: bool = False) -> v1.Block:
    return v1.Block(label="human", value=value, limit=limit, read_only=read_only)


@pytest.mark.parametrize(
    ("value", "text", "after_line", "becomes"),
    [
        ("", "new", AT_THE_END, "new"),
        ("", "new", 0, "new"),
        ("a\nb", "new", AT_THE_END, "a\nb\nnew"),
        ("a\nb", "new", 0, "new\na\nb"),
        ("a\nb", "new", 1, "a\nnew\nb"),
        ("a\nb", "new", 2, "a\nb\nnew"),
        ("a\nb", "two\nlines\n", 1, "a\ntwo\nlines\nb"),
        ("a\nb\n", "new", AT_THE_END, "a\nb\nnew\n"),
        ("a\n\nb", "new", 2, "a\n\nnew\nb"),
    ],
)
def test_text_is_inserted_as_lines_of_its_own(value: str, text: str, after_line: int, becomes: str) -> None:
    assert inserted(block(value), text, after_line) == becomes


@pytest.mark.parametrize(
    ("value", "old", "new", "becomes"),
    [
        ("Likes tea.", "tea", "coffee", "Likes coffee."),
        ("Likes tea.", " tea", "", "Likes."),
        ("a\nb\nc", "a\nb", "x", "x\nc"),
        ("Tea, tea", "tea", "x", "Tea, x"),
        (r"\1 (.*)", r"\1 (", r"\g<0>", r"\g<0>.*)"),
    ],
)
def test_the_only_place_of_a_text_is_replaced_to_the_letter(value: str, old: str, new: str, becomes: str) -> None:
    assert replaced(block(value), old, new) == becomes


REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "a line that is not there": (
        lambda: inserted(block("a\nb"), "x", 3),
        "insert_line is 3, and the block 'human' has 2 lines. Take 0 to 2, or -1 for the end.",
    ),
    "a line before the first": (
        lambda: inserted(block("a"), "x", -2),
        "insert_line is -2, and the block 'human' has 1 line. Take 0 to 1, or -1 for the end.",
    ),
    "nothing to insert": (
        lambda: inserted(block("a"), "", AT_THE_END),
        "new_string is empty, so there is nothing to insert.",
    ),
    "too much": (
        lambda: inserted(block("ä" * 8, limit=10), "xyz", AT_THE_END),
        "The block 'human' would have 12 characters, and its limit is 10. Nothing was changed. "
        "Say it with at least 2 characters less, or shorten the block first.",
    ),
    "read-only": (
        lambda: replaced(block("a", read_only=True), "a", "b"),
        "The block 'human' is read-only; memory tools cannot change it.",
    ),
    "no text": (
        lambda: replaced(block("a"), "", "b"),
        "old_string is empty. Give the text to replace, or use memory_insert to add some.",
    ),
    "a text that is not there": (
        lambda: replaced(block("a"), "b", "c"),
        "old_string does not stand in the block 'human' to the letter. Nothing was changed.",
    ),
    "a text in other case": (
        lambda: replaced(block("Tea"), "tea", "c"),
        "old_string does not stand in the block 'human' to the letter. Nothing was changed. "
        "It stands there with other upper and lower case.",
    ),
    "a text as it is shown": (
        lambda: replaced(block("</value>"), "&lt;/value>", "c"),
        "old_string does not stand in the block 'human' to the letter. Nothing was changed. "
        "Where the block is shown with &lt; its text has <.",
    ),
    "a text that is there three times, two of them overlapping": (
        lambda: replaced(block("aba\naa\nababa"), "aba", "x"),
        "old_string stands more than once in the block 'human', in lines 1, 3, 3. "
        "Nothing was changed. Give more of the text around the one that you mean.",
    ),
    "a text that is all over": (
        lambda: replaced(block("a" * 50), "a", "x"),
        "old_string stands more than once in the block 'human', in lines 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 and more. "
        "Nothing was changed. Give more of the text around the one that you mean.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_told_in_words_to_act_on(case: str) -> None:
    edit, told = REFUSED[case]
    with pytest.raises(EditRefused) as refused:
        edit()
    assert str(refused.value) == told


def test_a_block_may_be_filled_to_its_limit_and_not_over_it() -> None:
    assert inserted(block("", limit=3), "abc", AT_THE_END) == "abc"
    assert replaced(block("abc", limit=3), "c", "d") == "abd"
    with pytest.raises(EditRefused, match="would have 4 characters"):
        replaced(block("abc", limit=3), "c", "de")
