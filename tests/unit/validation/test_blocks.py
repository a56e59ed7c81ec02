"""What is said of memory blocks, beyond the single rules."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff_server.errors import InvalidRequest
from sendoff_server.validation import BLOCK_UPDATABLE, check_block_fits
from tests.unit.validation.checking import violated
from tests.unit.validation.rule_cases import agent, block, block_ids

BLOCK = block_ids(1)[0]


def update(*paths: str, **fields: object) -> v1.UpdateBlockRequest:
    request = v1.UpdateBlockRequest(block_id=BLOCK, block=v1.Block(**fields))  # type: ignore[arg-type]
    if paths:
        request.update_mask.CopyFrom(FieldMask(paths=paths))
    return request


@pytest.mark.parametrize("name", ["id", "etag"])
def test_what_the_server_makes_is_refused_in_a_new_block(name: str) -> None:
    assert violated(block(**{name: "x"})) == [f"block.{name}"]


def test_times_are_refused_in_a_new_block() -> None:
    wrong = block()
    wrong.block.create_time.seconds = wrong.block.update_time.seconds = 1
    assert violated(wrong) == ["block.create_time", "block.update_time"]


def test_without_a_limit_of_its_own_a_new_block_has_the_default_one() -> None:
    assert violated(block(value="x" * 20_000)) == []
    assert violated(block(value="x" * 20_001)) == ["block.value"]
    assert violated(block(value="x" * 20_001, limit=20_001)) == []


def test_a_block_that_was_read_may_be_sent_back_changed() -> None:
    assert violated(update(id=BLOCK, etag="e", label="human", value="x", limit=9)) == []
    assert violated(update(id="block-1")) == ["block.id"]


def test_a_label_can_not_be_taken_away() -> None:
    assert violated(update("label")) == ["block.label"]
    assert violated(update("value")) == []


def test_a_mask_names_what_can_be_changed() -> None:
    assert violated(update(*BLOCK_UPDATABLE, label="human")) == []
    assert violated(update("value", "etag", "nothing")) == ["update_mask.paths[1]", "update_mask.paths[2]"]


def test_no_change_makes_a_value_longer_than_any_limit() -> None:
    assert violated(update(value="x" * 100_000)) == []
    assert violated(update(value="x" * 100_001)) == ["block.value"]


@pytest.mark.parametrize(
    ("changed", "field", "told"),
    [
        (["value"], "block.value", "must have at most 3 characters, has 4"),
        (["value", "limit"], "block.value", "must have at most 3 characters, has 4"),
        (["limit"], "block.limit", "must be at least 4, because the value has so many characters"),
    ],
)
def test_a_change_that_does_not_fit_is_told_of_the_field_that_makes_it_so(
    changed: list[str], field: str, told: str
) -> None:
    check_block_fits(v1.Block(value="xxx", limit=3), changed)
    with pytest.raises(InvalidRequest) as refused:
        check_block_fits(v1.Block(value="xxxx", limit=3), changed)
    assert [(each.field, each.description) for each in refused.value.violations] == [(field, told)]


def test_an_agent_names_blocks_by_their_ids() -> None:
    assert violated(agent(block_ids=["block-1", BLOCK])) == ["agent.block_ids[0]"]
