"""Signatures, and the file of the secrets that make them."""

from __future__ import annotations

import base64
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from sendoff_server.callbacks.signing import BadSecret, Signer, ensure_secrets
from sendoff_server.clock import SECOND_NS


def secret(byte: bytes = b"k", size: int = 32) -> str:
    return "whsec_" + base64.b64encode(byte * size).decode()


def now_ns() -> int:
    return int(datetime.now(UTC).timestamp()) * SECOND_NS


def test_the_stock_verifier_accepts_it_and_nothing_that_was_changed() -> None:
    body = '{"text":"Grüße 👋"}'
    headers = dict(Signer([secret()]).headers("delivery-1", now_ns(), body))

    assert Webhook(secret()).verify(body, headers) == {"text": "Grüße 👋"}
    for name, changed in (("webhook-id", "delivery-2"), ("webhook-timestamp", str(now_ns() // SECOND_NS + 1))):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret()).verify(body, {**headers, name: changed})
    with pytest.raises(WebhookVerificationError):
        Webhook(secret()).verify(body + " ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(b"x")).verify(body, headers)


def test_the_signature_is_the_one_that_the_standard_shows() -> None:
    # The example of the standard's own page.
    headers = Signer(["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]).headers(
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1_649_367_553 * SECOND_NS,
        '{"email":"test@example.com","username":"test_user"}',
    )
    assert headers["webhook-signature"] == "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="


def test_every_secret_signs_so_that_one_can_be_replaced() -> None:
    headers = dict(Signer([secret(b"n"), secret(b"o")]).headers("delivery-1", now_ns(), "{}"))
    for each in (secret(b"n"), secret(b"o")):
        assert Webhook(each).verify("{}", headers) == {}


def test_two_who_miss_it_at_once_have_the_same_though_their_processes_have_the_same_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, others, link = tmp_path / "callback.secret", list[str](), os.link

    def second(draft: str, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        others.extend(ensure_secrets(path))
        link(draft, target)

    monkeypatch.setattr(os, "link", second)
    assert ensure_secrets(path) == others
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_made_once_with_a_secret_that_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "new" / "callback.secret"
    (made,) = ensure_secrets(path)

    assert ensure_secrets(path) == [made]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["callback.secret"]
    assert ensure_secrets(tmp_path / "other") != [made]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "hunter2",
        secret().removeprefix("whsec_"),
        secret(size=23),
        secret(size=65),
        secret()[:-3] + "!!=",
        f"{secret()}\nhunter2",
        "\n".join([secret()] * 11),
        "whsec_ü",
    ],
)
def test_a_file_that_holds_something_else_is_refused_and_not_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "callback.secret"
    path.write_text(text)
    with pytest.raises(BadSecret) as told:
        ensure_secrets(path)
    assert str(path) in str(told.value)
    assert "hunter2" not in str(told.value)
    assert path.read_text() == text


@pytest.mark.parametrize("size", [24, 64])
def test_secrets_have_24_to_64_bytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "callback.secret"
    path.write_text(secret(size=size))
    assert ensure_secrets(path) == [secret(size=size)]
