"""P12. Nothing is dropped silently: what cannot be honoured is refused at accept, with the field's name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.promises.doors import Door, Refused

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_steps": 0}, "max_steps"),
    ({"return_logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"scheduling": {"when_busy": "steer"}}, "scheduling.when_busy"),
    ({"scheduling": {"priority": 6}}, "scheduling.priority"),
    ({"scheduling": {"start_time": "9999-01-01T00:00:00Z"}}, "scheduling.start_time"),
    ({"client_tools": [{"name": ""}]}, "client_tools[0].name"),
    ({"limits": {"action_timeout": -1}}, "limits.action_timeout"),
]


@pytest.mark.parametrize(("fields", "named"), WRONG, ids=[named for _, named in WRONG])
async def test_what_cannot_be_honoured_is_refused_with_its_name(door: Door, fields: dict[str, Any], named: str) -> None:
    agent = await door.agent("scripted/echo")

    with pytest.raises(Refused) as refused:
        await door.send(agent, "hello", **fields)
    assert named in refused.value.text
    assert refused.value.kind in ("INVALID_ARGUMENT", "FAILED_PRECONDITION")


async def test_every_fault_is_named_at_once(door: Door) -> None:
    agent = await door.agent("scripted/echo")

    with pytest.raises(Refused) as refused:
        await door.sent(agent, {"messages": [], "max_steps": 0, "return_logprobs": True, "top_logprobs": 99})
    for named in ("messages", "max_steps", "top_logprobs"):
        assert named in refused.value.text


async def test_a_model_that_there_is_not_is_refused_at_once(door: Door) -> None:
    agent = await door.agent("scripted/echo")

    with pytest.raises(Refused) as refused:
        await door.send(agent, "hello", override_model="scripted/nobody")
    assert (refused.value.kind, refused.value.reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")
    assert "scripted/nobody" in refused.value.text
