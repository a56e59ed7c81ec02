"""New keys."""

from __future__ import annotations

import re

from sendoff import api_key
from sendoff_server.access.gate import hash_of
from sendoff_server.access.principal import Role
from sendoff_server.store.api_keys import ApiKey

_TENANT = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_NAME_LETTERS = 128
_CERTIFICATE_LETTERS = 1_024


class BadKey(Exception):
    """No key can be made so; the message is for people."""


def new_key(
    *, tenant: str, role: Role, name: str, expires_ns: int | None, certificate: str, now_ns: int
) -> tuple[ApiKey, str | None]:
    """A key to be stored, and the key itself, which is not; None for one that stands for a certificate.

    Raises BadKey.
    """
    if not re.fullmatch(_TENANT, tenant):
        raise BadKey(f"tenant {tenant!r}: expected 1 to 64 letters, digits, dots, hyphens and underscores")
    if len(name) > _NAME_LETTERS or not name.isprintable():
        raise BadKey(f"name {name!r}: expected at most {_NAME_LETTERS} letters, all of them printable")
    if len(certificate) > _CERTIFICATE_LETTERS or not certificate.isprintable():
        raise BadKey(f"certificate: expected a name of at most {_CERTIFICATE_LETTERS} letters, all of them printable")
    token = api_key.new()
    key_id = api_key.key_id(token)
    assert key_id is not None
    made = ApiKey(
        id=key_id,
        tenant=tenant,
        role=role.value,
        name=name,
        secret_hash=None if certificate else hash_of(token),
        certificate=certificate or None,
        created_ns=now_ns,
        expires_ns=expires_ns,
    )
    return made, None if certificate else token
