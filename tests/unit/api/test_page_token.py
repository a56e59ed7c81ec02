"""Page tokens go on where the page before ended, for the same query only."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server import page_token
from sendoff_server.errors import InvalidRequest

QUERY = v1.ListRunsRequest(agent_id="agent-1", page_size=10)
DIGEST = page_token.digest(QUERY)
TOKEN = page_token.write((1_795_306_269_367_635_000, "run-1"), DIGEST)


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=50))
def test_a_cursor_comes_back_as_it_was(sort_key: int, entry_id: str) -> None:
    assert page_token.read(page_token.write((sort_key, entry_id), DIGEST), DIGEST) == (sort_key, entry_id)


def test_the_empty_token_is_the_first_page() -> None:
    assert page_token.read("", DIGEST) is None


def test_a_token_fits_into_a_url_as_it_is() -> None:
    assert re.fullmatch("[A-Za-z0-9_-]+", TOKEN)


def test_the_page_size_may_change_between_pages_and_the_token_does_not_count() -> None:
    assert page_token.digest(v1.ListRunsRequest(agent_id="agent-1", page_size=5, page_token=TOKEN)) == DIGEST
    assert QUERY.page_size == 10


@pytest.mark.parametrize(
    "other",
    [
        v1.ListRunsRequest(agent_id="agent-2"),
        v1.ListRunsRequest(agent_id="agent-1", order_by="create_time"),
        v1.ListRunsRequest(agent_id="agent-1", active=False),
        v1.ListRunMessagesRequest(run_id="agent-1"),
    ],
)
def test_a_token_of_another_query_is_refused(other: v1.ListRunsRequest) -> None:
    with pytest.raises(InvalidRequest) as raised:
        page_token.read(TOKEN, page_token.digest(other))
    assert [violation.field for violation in raised.value.violations] == ["page_token"]
    assert "another query" in raised.value.message


def forged(body: str) -> str:
    """A token with that body and the right checksum."""

    return base64.urlsafe_b64encode(f"{page_token._hashed(body.encode())}{body}".encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "not base64!",
        "ä",
        TOKEN[:-1],
        TOKEN[1:],
        TOKEN[:-4] + "AAAA",
        TOKEN * 50,
        "////",
        forged("[" * 50_000),
        forged("[" * 100),
        forged("[1]"),
        forged(f'["1","a","{DIGEST}"]'),
        forged(f'[1.0,"a","{DIGEST}"]'),
        forged(f'[{2**63},"a","{DIGEST}"]'),
        forged(f'{{"a":"{DIGEST}"}}'),
        forged("null"),
    ],
    ids=range(16),
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        page_token.read(token, DIGEST)
    assert [violation.field for violation in raised.value.violations] == ["page_token"]


@given(st.text(max_size=200))
def test_nothing_else_that_a_caller_sends_breaks_the_reading(token: str) -> None:
    if token:
        with pytest.raises(InvalidRequest):
            page_token.read(token, DIGEST)
