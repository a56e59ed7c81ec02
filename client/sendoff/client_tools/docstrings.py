"""What a docstring tells of a function and of its arguments, in the forms of Google and of Sphinx."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

_SECTION = re.compile(
    r"(args|arguments|parameters|params|returns?|raises|yields?|examples?|notes?|attributes):\s*$", re.I
)
_ARGUMENTS = ("args", "arguments", "parameters", "params")
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_SPHINX = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?(\w+):\s*(.*)")


@dataclass(slots=True)
class Documented:
    """What a docstring tells."""

    description: str = ""
    arguments: dict[str, str] = field(default_factory=dict)


def read(docstring: str | None) -> Documented:
    """The text up to the first section, and what it says about each argument."""
    told, about = Documented(), _Place()
    description: list[str] = []
    for line in inspect.cleandoc(docstring or "").splitlines():
        if (section := _SECTION.match(line)) or line.startswith(":"):
            about.section = section[1].lower() if section else "sphinx"
            about.argument = ""
        if not about.section:
            description.append(line)
        elif not section:
            _read_argument(told, about, line)
    told.description = "\n".join(description).strip()
    return told


@dataclass(slots=True)
class _Place:
    """Where the reading stands."""

    section: str = ""
    argument: str = ""
    indent: int = 0


def _read_argument(told: Documented, about: _Place, line: str) -> None:
    text, indent = line.strip(), len(line) - len(line.lstrip())
    found = None
    if about.section == "sphinx":
        found = _SPHINX.match(line)
    elif about.section in _ARGUMENTS and (not about.argument or indent <= about.indent):
        found = _GOOGLE.match(text)
    if found:
        about.argument, about.indent = found[1], indent
        told.arguments[found[1]] = found[2].strip()
    elif about.argument and text and indent > about.indent:
        told.arguments[about.argument] = f"{told.arguments[about.argument]} {text}".strip()
