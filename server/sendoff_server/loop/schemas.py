"""Whether arguments fit a tool's JSON Schema. Pure.

What a schema says with regular expressions is left to the tool: schemas come from callers, and an expression can be
made to take for ever. References are followed inside the schema only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with arguments."""

    told: str
    where: str
    """" at $.path", or empty for the whole."""


def fault(schema: str, arguments: Mapping[str, Any]) -> Fault | None:
    """Why the arguments do not fit; None if they do, and for a schema that is broken: the tool will say what it thinks
    of them."""
    validator = _validator(schema)
    if validator is None:
        return None
    try:
        error = best_match(validator.iter_errors(arguments))
    except (Unresolvable, RecursionError, SchemaError):
        return None
    if error is None:
        return None
    return Fault(error.message, f" at {error.json_path}" if error.path else "")


_Validator = extend(Draft202012Validator, {"pattern": None})  # type: ignore[no-untyped-call]  # as the stubs have it


@lru_cache(maxsize=512)
def _validator(schema: str) -> Draft202012Validator | None:
    """None: anything fits."""
    if '"patternProperties"' in schema:
        return None
    try:
        read = json.loads(schema)
        Draft202012Validator.check_schema(read)
    except (ValueError, RecursionError, SchemaError):
        return None
    made: Draft202012Validator = _Validator(read, registry=Registry())
    return made
