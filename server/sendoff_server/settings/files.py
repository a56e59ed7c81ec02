"""Secret settings out of files, as Docker and Kubernetes mount them: `SENDOFF_DATABASE_URL_FILE` names the file that
has what `SENDOFF_DATABASE_URL` would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

SUFFIX = "_FILE"
_MOST_BYTES = 64 * 1024


class BadFile(Exception):
    """A file that a variable names cannot be used. The message does not tell what is in it."""


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting is shown nowhere, and may come from a file."""
    return not field.repr or SecretStr in (field.annotation, *get_args(field.annotation))


def variable_of(name: str, settings: type[BaseSettings]) -> str:
    """Name of the variable of a setting."""
    return (settings.model_config.get("env_prefix", "") + name).upper()


class SecretFiles(PydanticBaseSettingsSource):
    """Reads them. A variable and a file for the same setting contradict each other."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Raises BadFile."""
        variable = variable_of(field_name, self.settings_cls)
        path = os.environ.get(variable + SUFFIX)
        if not path or not is_secret(field):
            return None, field_name, False
        if os.environ.get(variable):
            raise BadFile(f"{variable} and {variable}{SUFFIX} are both set; leave one of them out")
        return _read(variable + SUFFIX, Path(path)), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def _read(variable: str, path: Path) -> str:
    """What stands there, without blanks around it."""
    try:
        with path.expanduser().open("rb") as file:
            text = file.read(_MOST_BYTES + 1).decode()
    except OSError as error:
        raise BadFile(f"{variable}: the file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadFile(f"{variable}: the file {path} is not UTF-8") from None
    if len(text) > _MOST_BYTES:
        raise BadFile(f"{variable}: the file {path} has more than {_MOST_BYTES} bytes")
    if not text.strip():
        raise BadFile(f"{variable}: the file {path} is empty")
    return text.strip()
