"""How the tests of the models ask one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sendoff import v1
from sendoff_server.models.port import Answer, Delta, DeltaKind, Model, ModelCall


def user(text: str) -> v1.Message:
    return v1.Message(id="message-u", user_message=v1.UserMessage(content=v1.Content(text=text)))


def call(
    text: str = "hello",
    *,
    handle: str = "scripted/echo",
    system: str = "",
    messages: Sequence[v1.Message] = (),
    attempt: int = 0,
) -> ModelCall:
    return ModelCall(handle=handle, system=system, messages=messages or [user(text)], run_id="run-1", attempt=attempt)


async def ask(model: Model, question: ModelCall) -> tuple[list[Delta], Answer]:
    """All deltas and the answer; fails if the answer is not last and only, or is not what the deltas add up to."""
    *deltas, answer = [item async for item in model.stream(question)]
    assert isinstance(answer, Answer)
    only_deltas = [item for item in deltas if isinstance(item, Delta)]
    assert len(only_deltas) == len(deltas)
    assert_adds_up(only_deltas, answer)
    return only_deltas, answer


def assert_adds_up(deltas: Sequence[Delta], answer: Answer) -> None:
    """Hold the port's promise: `parts[i]` is what the deltas of part_index i add up to, of one kind."""
    written: dict[int, str] = {}
    kinds: dict[int, set[DeltaKind]] = {}
    for delta in deltas:
        written[delta.part_index] = written.get(delta.part_index, "") + delta.text
        kinds.setdefault(delta.part_index, set()).add(delta.kind)
    visible = {index: told for index, part in enumerate(answer.parts) if (told := told_by(part)) is not None}
    assert {index: (kind, written[index]) for index, (kind,) in kinds.items()} == visible


def told_by(part: v1.ContentPart) -> tuple[DeltaKind, str] | None:
    match part.WhichOneof("part"):
        case "text":
            return DeltaKind.TEXT, part.text.text
        case "reasoning":
            return DeltaKind.REASONING, part.reasoning.reasoning
        case "summarized_reasoning":
            return DeltaKind.REASONING, "".join(piece.text for piece in part.summarized_reasoning.summary)
        case "tool_call":
            return DeltaKind.TOOL_ARGUMENTS, part.tool_call.input.json
    return None


def text_of(answer: Answer) -> str:
    return "".join(part.text.text for part in answer.parts)


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that another process does, which tells nobody. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.005)
