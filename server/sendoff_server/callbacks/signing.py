"""Signatures by Standard Webhooks, which receivers check with a library of their language.

The secrets are lines of a file, made at the first start: `whsec_` and 24 to 64 random bytes in base64. Every secret
signs, so that one can be replaced without a gap: add the new one, let the receivers take it over, remove the old one.
An endpoint has secrets of its own, which sign in place of these until their time is over.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from standardwebhooks import Webhook

from sendoff_server.clock import SECOND_NS
from sendoff_server.store.questions import Endpoint

_PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64
_MOST_SECRETS = 10


class BadSecret(Exception):
    """The file of secrets cannot be used. The message does not tell what is in it."""


class Signer:
    """Makes the headers that tell a delivery, its time, and that it comes from here."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._webhooks = [Webhook(secret) for secret in secrets]

    def headers(self, delivery_id: str, now_ns: int, body: str) -> Mapping[str, str]:
        now_s = now_ns // SECOND_NS
        moment = datetime.fromtimestamp(now_s, UTC)
        signatures = [webhook.sign(delivery_id, moment, body) for webhook in self._webhooks]
        return {
            "webhook-id": delivery_id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": " ".join(signatures),
        }


def valid_secrets(endpoint: Endpoint, now_ns: int) -> Sequence[str]:
    """What signs the deliveries of an endpoint at that time, newest first."""
    return [secret.text for secret in endpoint.secrets if secret.until_ns is None or now_ns < secret.until_ns]


def ensure_secrets(path: Path) -> Sequence[str]:
    """The secrets of a file, which is made with a new one if it is missing. Raises BadSecret."""
    try:
        if not path.exists():
            _create(path, new_secret())
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        told = f"{_reason(error)}; SENDOFF_CALLBACK_SECRET_FILE names another one"
        raise BadSecret(f"the file of callback secrets {path} cannot be used: {told}") from None
    secrets = text.split()
    if not 1 <= len(secrets) <= _MOST_SECRETS or not all(map(_is_secret, secrets)):
        told = f"{_PREFIX} and {_LEAST_BYTES} to {_MOST_BYTES} bytes in base64"
        raise BadSecret(f"the file of callback secrets {path} must have 1 to {_MOST_SECRETS} lines, each {told}")
    return secrets


def _create(path: Path, secret: str) -> None:
    """Write the file whole or not at all. Who comes second takes what the first one wrote."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Not by the process's number, which is 1 in every container that shares the directory.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secret}\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)


def new_secret() -> str:
    return _PREFIX + base64.b64encode(os.urandom(32)).decode()


def _is_secret(text: str) -> bool:
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        return False
    return text.startswith(_PREFIX) and _LEAST_BYTES <= len(key) <= _MOST_BYTES


def _reason(error: Exception) -> str:
    return error.strerror or "?" if isinstance(error, OSError) else "it holds something else"
