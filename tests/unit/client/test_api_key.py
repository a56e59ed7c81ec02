"""What a key looks like, and that damage to it is told before it is sent."""

from __future__ import annotations

import re
import string

import pytest

import sendoff
from sendoff import api_key

LETTERS = string.ascii_letters + string.digits


def test_keys_have_a_front_of_their_own_an_id_and_a_secret_of_256_bits() -> None:
    keys = {api_key.new() for _ in range(200)}
    assert len({key.split("-")[3] for key in keys}) == len(keys)
    for key in keys:
        found = re.fullmatch("sk-sendoff-([0-9a-f]{16})-([0-9A-Za-z]{43})[0-9A-Za-z]{6}", key)
        assert found is not None
        assert api_key.key_id(key) == f"key-{found[1]}"
        assert key.startswith(api_key.shown(f"key-{found[1]}"))
    used = {letter for key in keys for letter in key.split("-")[3][:43]}
    assert used == set(LETTERS)


def test_a_key_with_any_letter_wrong_missing_or_too_many_is_damaged() -> None:
    key = api_key.new()
    for place in range(len(api_key.FRONT), len(key)):
        other = "0" if key[place] != "0" else "1"
        assert api_key.key_id(key[:place] + other + key[place + 1 :]) is None
    assert api_key.key_id(key[:-1]) is None
    assert api_key.key_id(key + "a") is None
    assert api_key.key_id("") is None


@pytest.mark.parametrize("damaged", [lambda key: key[:-3], lambda key: key + "x", lambda key: key[:40] + key[41:]])
def test_a_client_with_a_damaged_key_is_told_so_without_the_secret(damaged: object) -> None:
    key = api_key.new()
    bad = damaged(key)  # type: ignore[operator]
    with pytest.raises(ValueError, match="damaged") as told:
        sendoff.Client("127.0.0.1:1", api_key=bad)
    assert bad[28:] not in str(told.value)


@pytest.mark.parametrize("bad", ["two words", "line\n", "schlüssel"])
def test_a_key_that_cannot_be_sent_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="API key"):
        sendoff.Client("127.0.0.1:1", api_key=bad)


def test_keys_of_others_are_left_alone() -> None:
    sendoff.Client("127.0.0.1:1", api_key="a-gateway's-own").close()
