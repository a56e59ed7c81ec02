"""What a caller was told, in a form in which two tellings can be compared.

Told alike are two answers that differ in nothing but ids, times and other things that are new each time, and in the
word that was asked for: each asker gave another one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

ID = re.compile(r"\b[a-z]+-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
_ALWAYS_NEW = (
    (ID, "<id>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b"), "<otid>"),
    (re.compile(r"\bcall_[0-9a-f]+\b"), "<call>"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=]+"), "<secret>"),
    (re.compile(r'("trace_id":")[0-9a-f]+'), r"\1<trace>"),
    (re.compile(r'("(?:\w+_)?tokens":)\d+'), r"\1<number>"),
    (re.compile(r'(etag"?: ?"?)[0-9a-f]+'), r"\1<etag>"),
    (re.compile(r'(page_token"?: ?"?)[\w-]+'), r"\1<token>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)"), "<time>"),
    (re.compile(r'((?:seconds|nanos|\w*_ns|duration_ms|completion_duration)"?: ?)-?\d+'), r"\1<time>"),
    (re.compile(r'((?:position|ahead)"?: ?)\d+'), r"\1<number>"),
    (re.compile(r'(oldest_age"?: ?"?)[\d.]+'), r"\1<time>"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call."""

    outcome: str
    """`OK`, or the name or number of the refusal."""
    told: str
    """Everything else, as text."""
    questions: tuple[str, ...] = ()
    """What the store was asked for it, where that was looked at."""

    def about(self, *words: str) -> Answer:
        """The same without what is always new, and without these words, for which the caller has asked."""
        told = self.told
        for word in sorted(words, key=len, reverse=True):
            told = told.replace(word, "<asked for>")
        for pattern, instead in _ALWAYS_NEW:
            told = pattern.sub(instead, told)
        return replace(self, told=told)
