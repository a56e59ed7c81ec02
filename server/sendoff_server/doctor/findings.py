"""What an examination finds, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """A server starts and works; sooner or later somebody is surprised."""
    PROBLEM = "problem"
    """A server does not start, or breaks a promise."""


@dataclass(frozen=True, slots=True)
class Finding:
    about: str
    """What was looked at, in a word or two."""
    verdict: Verdict
    told: str
    mend: str = ""
    """What to do about it; empty if all is well."""


def ok(about: str, told: str) -> Finding:
    return Finding(about, Verdict.OK, told)


def warning(about: str, told: str, mend: str) -> Finding:
    return Finding(about, Verdict.WARNING, told, mend)


def problem(about: str, told: str, mend: str) -> Finding:
    return Finding(about, Verdict.PROBLEM, told, mend)


def lines_of(finding: Finding) -> str:
    """For people: what was found, and under it what to do."""
    head = f"{finding.verdict:8} {finding.about:14} {finding.told}"
    return head if not finding.mend else f"{head}\n{'':8} {'':14} -> {finding.mend}"


def summary(findings: Sequence[Finding]) -> str:
    problems, warnings = _count(findings, Verdict.PROBLEM), _count(findings, Verdict.WARNING)
    if not problems and not warnings:
        return "All is well."
    return f"{_many(problems, 'problem')}, {_many(warnings, 'warning')}."


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether a server can be started; warnings do not keep it from that."""
    return not _count(findings, Verdict.PROBLEM)


def json_of(findings: Sequence[Finding]) -> str:
    """For programs: a list of {"about", "verdict", "told", "mend"}."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)


def _count(findings: Iterable[Finding], verdict: Verdict) -> int:
    return sum(finding.verdict is verdict for finding in findings)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
