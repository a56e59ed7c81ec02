"""The skills that a request names, as the section of the system text that tells the model of them.

Letta's form: a tree of files for each folder that holds skills, each file with the first line of its description.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field

from sendoff import v1

_FILE = "SKILL.md"
_DEFAULT_ROOT = "${MEMORY_DIR}/skills"
"""Where a skill is that has no location. The model's tools know the variable; here it stays as it is."""


def with_skills(system: str, skills: Iterable[v1.ClientSkill]) -> str:
    """The system text with the section behind it, one empty line between; without skills as it was."""
    section = skills_section(skills)
    if not section:
        return system
    system = system.rstrip()
    return f"{system}\n\n{section}" if system else section


def skills_section(skills: Iterable[v1.ClientSkill]) -> str:
    """The section, without a line break at its end; empty if there are no skills.

    The order of the skills does not matter. Two skills in one file are told as two files.
    """
    roots: dict[str, _Folder] = {}
    for skill in skills:
        root, path = _place(skill)
        roots.setdefault(root, _Folder()).add(path.split("/"), skill.description)
    if not roots:
        return ""
    trees = ("\n".join([root, *roots[root].tree()]) for root in sorted(roots))
    return "<available_skills>\n" + "\n\n".join(trees) + "\n</available_skills>"


def _place(skill: v1.ClientSkill) -> tuple[str, str]:
    """The folder whose tree tells of the skill, and the skill's path under it."""
    location = skill.location.rstrip("/") or f"{_DEFAULT_ROOT}/{skill.name}/{_FILE}"
    folder, file = posixpath.split(location)
    if file == _FILE and f"/{folder}".endswith(f"/{skill.name}"):
        return posixpath.dirname(folder.removesuffix(skill.name)), f"{skill.name}/{file}"
    return folder, file


@dataclass(slots=True)
class _Folder:
    folders: dict[str, _Folder] = field(default_factory=dict)
    files: list[tuple[str, str]] = field(default_factory=list)
    """Name, and the first line of the description."""

    def add(self, path: list[str], description: str) -> None:
        *names, file = path
        folder = self
        for name in names:
            folder = folder.folders.setdefault(name, _Folder())
        folder.files.append((file, next(iter(description.splitlines()), "")))

    def tree(self) -> list[str]:
        """What is in the folder, drawn line by line: folders first, then files, each sorted."""
        lines: list[str] = []
        self._draw("", lines)
        return lines

    def _draw(self, indent: str, lines: list[str]) -> None:
        entries: list[tuple[str, _Folder]] = [(f"{name}/", self.folders[name]) for name in sorted(self.folders)]
        entries += [(f"{name} ({told})" if told.strip() else name, _Folder()) for name, told in sorted(self.files)]
        for left, (label, inner) in zip(range(len(entries) - 1, -1, -1), entries, strict=True):
            lines.append(f"{indent}{'├── ' if left else '└── '}{label}")
            inner._draw(indent + ("│   " if left else "    "), lines)
