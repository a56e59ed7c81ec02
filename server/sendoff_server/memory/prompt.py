"""Memory blocks as the section of the system prompt that tells the model of them.

The same blocks give the same text, because providers keep what prompts have in common with earlier ones: no times, no
counts of messages. The form of the elements is Letta's, the words are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from sendoff import v1

_SECTION, _METADATA = "memory_blocks", "memory_metadata"
_PARTS = ("description", "metadata", "value")
_RESERVED = frozenset({_SECTION, _METADATA, *_PARTS})
# Between < and the name nothing counts but letters and digits: neither spaces nor what cannot be seen.
_TAG = re.compile(r"<[^\w<>]*([\w.-]+)")
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_HEAD = (
    "These are your memory blocks. They stay from one conversation to the next, and are shown to you as they are now. "
    "Where a tool asks for the label of a block, it is the element's name, or what the block's metadata say it is."
)


def memory_section(agent_id: str, conversation: str, blocks: Sequence[v1.Block]) -> str:
    """The section, without a line break at its end; empty if there are no blocks. `conversation` is "default" or an id.

    Whatever a block says, it cannot end its own element.
    """
    if not blocks:
        return ""
    safe = _Escaping(element_name(block.label) for block in blocks)
    elements = "\n\n".join("\n".join(_element(block, safe)) for block in blocks)
    return (
        f"<{_SECTION}>\n{_HEAD}\n\n{elements}\n</{_SECTION}>\n\n"
        f"<{_METADATA}>\n- agent_id={agent_id}\n- conversation={conversation}\n</{_METADATA}>"
    )


def element_name(label: str) -> str:
    """The label, where it is a name that an element may have; else one that is like it."""
    name = _NO_NAME.sub("_", label)
    if not (name[:1].isalpha() or name[:1] == "_") or name.lower() in _RESERVED or name.lower().startswith("xml"):
        name = f"_{name}"
    return name


def _element(block: v1.Block, safe: _Escaping) -> Iterator[str]:
    name = element_name(block.label)
    yield f"<{name}>"
    if block.description:
        yield f"<description>\n{safe(block.description)}\n</description>"
    yield "<metadata>"
    if name != block.label:
        yield f"- label={safe(block.label)}"
    if block.read_only:
        yield "- read_only=true"
    yield f"- chars_current={len(block.value)}"
    yield f"- chars_limit={block.limit}"
    yield "</metadata>"
    yield f"<value>\n{safe(block.value)}\n</value>"
    yield f"</{name}>"


class _Escaping:
    """Writes &lt; for the < of each tag of this section that stands in a text. All else stays as it is, so that what
    the model reads is what its tools find."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = _RESERVED.union(name.casefold() for name in names)

    def __call__(self, text: str) -> str:
        return _TAG.sub(self._written, text) if "<" in text else text

    def _written(self, tag: re.Match[str]) -> str:
        written = tag[0]
        return f"&lt;{written[1:]}" if tag[1].casefold() in self._names else written
