"""The recordings are whole: their table of contents is true, and nothing of their contracts is left out."""

from __future__ import annotations

import json

import pytest

from tests.evolution.recordings import CONTENTS, names, recording


@pytest.mark.parametrize("name", names())
def test_the_table_of_contents_is_true(name: str) -> None:
    told = json.loads(CONTENTS.read_text())[name]
    found = recording(name)

    assert told["contract_sha256"] == found.contract.digest
    assert (told["methods"], told["exchanges"]) == (len(found.contract.methods), len(found.exchanges))


@pytest.mark.parametrize("name", names())
def test_every_method_of_an_older_contract_was_called_and_worked(name: str) -> None:
    found = recording(name)

    assert {made.method for made in found.exchanges if made.ok} == found.contract.methods.keys()


@pytest.mark.parametrize("name", names())
def test_an_older_contract_knows_all_that_was_recorded(name: str) -> None:
    """So a difference that others find is not one of the recording."""
    contract = recording(name).contract
    for made in recording(name).exchanges:
        asked = [(contract.parse_request(made.method, raw), raw) for raw in made.requests]
        answered = [(contract.parse_response(made.method, raw), raw) for raw in made.responses]
        for message, raw in asked + answered:
            message.DiscardUnknownFields()
            assert message.ByteSize() == len(raw), made.method
