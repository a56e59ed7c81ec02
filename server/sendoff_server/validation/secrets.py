"""Rules of the environment variables of an agent's tools. What they hold is never told."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sendoff_server.validation.rules import check_items, check_size
from sendoff_server.validation.violations import Violations, quoted

_MOST = 64
_VALUE_BYTES = 32_768
_NAME = re.compile(r"(?!SENDOFF_)[A-Za-z_][A-Za-z0-9_]{0,127}")


def check_secrets(found: Violations, path: str, secrets: Mapping[str, str]) -> None:
    if secrets and check_items(found, path, len(secrets), most=_MOST):
        for name, value in secrets.items():
            if not _NAME.fullmatch(name):
                told = "must be letters, digits and _, at most 128, with no digit first, and not begin with SENDOFF_"
                found.add(path, f"names {told}; one is {quoted(name)}")
                continue
            check_size(found, f"{path}[{name!r}]", value, most=_VALUE_BYTES)
            if "\0" in value:
                found.add(f"{path}[{name!r}]", "must not have NUL characters")
