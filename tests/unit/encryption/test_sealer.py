"""Secrets that are sealed: with which key, for which place, and what becomes of those that cannot be opened."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendoff_server.encryption.rotation import Rotation
from sendoff_server.encryption.sealer import Place, Sealer, is_sealed
from sendoff_server.encryption_keys import keys_of, new_key
from sendoff_server.errors import SecretUnreadable

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (251, 254))
HERE = Place("acme", "agent-1", "TOKEN")


def sealer(*keys: str) -> Sealer:
    return Sealer(keys_of(",".join(keys)))


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=200))
def test_what_is_sealed_opens_as_it_was_and_shows_nothing(secret: str) -> None:
    kept = sealer(NEW).seal(secret, HERE)
    assert is_sealed(kept)
    assert not secret or len(secret) < 4 or secret not in kept
    assert sealer(NEW).open(kept, HERE) == secret


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    assert sealer(NEW).seal("lantern", HERE) != sealer(NEW).seal("lantern", HERE)


@pytest.mark.parametrize(
    "elsewhere",
    [HERE._replace(tenant="other"), HERE._replace(owner_id="agent-2"), HERE._replace(name="WORD"), Place("", "", "")],
)
def test_a_secret_opens_nowhere_but_where_it_belongs(elsewhere: Place) -> None:
    with pytest.raises(SecretUnreadable, match="is damaged"):
        sealer(NEW).open(sealer(NEW).seal("lantern", HERE), elsewhere)


def test_a_secret_that_was_changed_does_not_open() -> None:
    kept = sealer(NEW).seal("lantern", HERE)
    head, _, encoded = kept.rpartition(":")
    sealed = bytearray(base64.b64decode(encoded))
    for place in range(len(sealed)):
        changed = bytes(byte ^ (place == at) for at, byte in enumerate(sealed))
        with pytest.raises(SecretUnreadable):
            sealer(NEW).open(f"{head}:{base64.b64encode(changed).decode()}", HERE)
    for damaged in (head, f"{head}:", f"{head}:%", kept[:-8], "\0"):
        with pytest.raises(SecretUnreadable):
            sealer(NEW).open(damaged, HERE)


def test_without_its_key_a_secret_tells_which_key_is_missing_and_not_what_it_is() -> None:
    kept = sealer(OLD).seal("lantern", HERE)
    with pytest.raises(SecretUnreadable) as caught:
        sealer(NEW).open(kept, HERE)
    (key,) = keys_of(OLD)
    assert key.id in caught.value.message
    assert caught.value.metadata == {"owner_id": "agent-1", "name": "TOKEN", "key_id": key.id}
    assert not any(word in caught.value.message for word in ("lantern", OLD, kept))


def test_the_first_key_seals_and_all_open() -> None:
    both = sealer(NEW, OLD)
    assert both.open(sealer(OLD).seal("lantern", HERE), HERE) == "lantern"
    assert sealer(NEW).open(both.seal("lantern", HERE), HERE) == "lantern"


def test_what_is_written_again_is_sealed_with_the_first_key() -> None:
    both = sealer(NEW, OLD)
    for kept in ("lantern", sealer(OLD).seal("lantern", HERE)):
        assert sealer(NEW).open(both.renewed(kept, HERE), HERE) == "lantern"
    current = both.seal("lantern", HERE)
    assert both.renewed(current, HERE) == current


def test_what_cannot_be_opened_is_left_for_who_has_its_key() -> None:
    kept = sealer(OLD).seal("lantern", HERE)
    assert sealer(NEW).renewed(kept, HERE) == kept
    assert sealer(NEW, OLD).open(kept, HERE) == "lantern"


def test_without_keys_secrets_stay_as_they_are() -> None:
    assert sealer().seal("lantern", HERE) == "lantern"
    assert sealer().open("lantern", HERE) == "lantern"
    kept = sealer(OLD).seal("lantern", HERE)
    assert sealer().renewed(kept, HERE) == kept
    with pytest.raises(SecretUnreadable):
        sealer().open(kept, HERE)


def test_a_rotation_counts_what_it_finds_and_leaves_what_it_cannot_read() -> None:
    rotation = Rotation(sealer(NEW, OLD))
    lost = sealer(new_key()).seal("lantern", HERE)
    assert rotation.renewed(*HERE, lost) == lost
    current = sealer(NEW).seal("lantern", HERE)
    assert rotation.renewed(*HERE, current) == current
    for kept in ("lantern", sealer(OLD).seal("lantern", HERE)):
        assert sealer(NEW).open(rotation.renewed(*HERE, kept), HERE) == "lantern"
    assert (rotation.sealed, rotation.current, len(rotation.unreadable)) == (2, 1, 1)


@pytest.mark.parametrize("text", [NEW, f"{NEW},{OLD}", f" {NEW}\n{OLD}\n", NEW.translate(str.maketrans("+/", "-_"))])
def test_keys_are_base64_with_commas_or_blanks_between(text: str) -> None:
    assert keys_of(text)[0].raw == base64.b64decode(NEW)


@pytest.mark.parametrize("text", ["short", f"{NEW},{NEW}", NEW + "x", base64.b64encode(b"x" * 16).decode(), "é" * 44])
def test_a_key_that_is_none_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"key 1 is not|stands there twice") as caught:
        keys_of(text)
    assert text not in str(caught.value)


def test_no_key_shows_in_a_representation() -> None:
    assert NEW not in repr(keys_of(NEW)) + repr(Sealer(keys_of(NEW)))
