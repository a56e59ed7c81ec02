"""Which secrets sign beside a new one, and until when; and that none is shown by accident."""

from __future__ import annotations

import pytest

from sendoff import v1
from sendoff_server.callbacks.endpoints import rotated
from sendoff_server.callbacks.signing import valid_secrets
from sendoff_server.errors import TooManySecrets
from sendoff_server.store.questions import Endpoint, Secret

NOW = 1_000
TOLD = v1.CallbackEndpoint(id="endpoint-1", url="https://example.com/")


def endpoint(*secrets: Secret) -> Endpoint:
    return Endpoint(TOLD, list(secrets))


def test_the_newest_is_first_and_the_others_end_with_the_overlap() -> None:
    newest, *others = rotated(endpoint(Secret("b"), Secret("a")), NOW, 10)
    assert newest.until_ns is None
    assert newest.text.startswith("whsec_")
    assert others == [Secret("b", NOW + 10), Secret("a", NOW + 10)]
    after = endpoint(newest, *others)
    assert valid_secrets(after, NOW + 9) == [newest.text, "b", "a"]
    assert valid_secrets(after, NOW + 10) == [newest.text]


def test_no_secret_signs_longer_because_another_one_is_made() -> None:
    _, *others = rotated(endpoint(Secret("b"), Secret("a", NOW + 5)), NOW, 10)
    assert others == [Secret("b", NOW + 10), Secret("a", NOW + 5)]


def test_a_shorter_overlap_ends_those_sooner_that_were_to_sign_longer() -> None:
    _, *others = rotated(endpoint(Secret("b"), Secret("a", NOW + 50)), NOW, 10)
    assert others == [Secret("b", NOW + 10), Secret("a", NOW + 10)]


def test_secrets_that_have_ended_are_kept_no_longer() -> None:
    assert len(rotated(endpoint(Secret("b"), Secret("a", NOW)), NOW, 10)) == 2
    assert len(rotated(endpoint(Secret("b"), Secret("a", NOW + 5)), NOW, 0)) == 1


def test_one_that_has_ended_makes_room_for_a_new_one() -> None:
    signing = [Secret(text, NOW + 5) for text in "dcba"]
    full = endpoint(Secret("e"), *signing)
    with pytest.raises(TooManySecrets):
        rotated(full, NOW + 4, 10)
    assert len(rotated(full, NOW + 5, 10)) == 2
    assert len(rotated(full, NOW, 0)) == 1


def test_secrets_do_not_show_where_an_endpoint_is_shown_to_programmers() -> None:
    shown = repr(endpoint(Secret("whsec_hidden")))
    assert "endpoint-1" in shown
    assert "hidden" not in shown
