"""The rule of JSON objects that travel as text."""

from __future__ import annotations

import pytest

from sendoff import v1
from sendoff_server.validation.json_object import check_json_object
from sendoff_server.validation.violations import Violations
from tests.unit.validation.checking import violated
from tests.unit.validation.rule_cases import agent, approval, with_call


def what_is_wrong(text: str) -> str | None:
    found = Violations()
    check_json_object(found, "metadata", v1.JsonObject(json=text))
    told = [violation.description for violation in found.told]
    assert len(told) <= 1
    return told[0] if told else None


def nested(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * (levels - 1) + "{}" + closing * (levels - 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        ' {"a": 1}\n',
        '{"a": 12345678901234567890}',
        '{"a": 1.0, "b": 1e400}',
        '{"a": 1, "a": 2}',
        '{"a": "\\ud83d\\ude42"}',
        '{"a": "\\\\ud800"}',
        nested(64),
        '{"a": [' + ",".join(["{}"] * 1_000) + "]}",
        '{"a": "' + "[" * 1_000 + '"}',
    ],
)
def test_the_text_of_one_object_is_accepted(text: str) -> None:
    assert what_is_wrong(text) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ('"{}"', "must be a JSON object"),
        ("{", "must be valid JSON: Expecting property name"),
        ("{} {}", "must be valid JSON: Extra data at character 3"),
        ("{'a': 1}", "must be valid JSON"),
        ('{"a": NaN}', "must be valid JSON: NaN"),
        ('{"a": -Infinity}', "must be valid JSON: -Infinity"),
        ('{"a": "\n"}', "must be valid JSON: Invalid control character"),
        ('{"a": ' + "1" * 5_000 + "}", "must be valid JSON"),
        (nested(65), "must be at most 64 levels deep"),
        ('{"a":' + "[" * 64 + "]" * 64 + "}", "must be at most 64 levels deep"),
        ('{"a":' * 100_000, "must be at most 64 levels deep"),
        ('{"a": "\\ud800"}', "must not have lone surrogates"),
        ('{"\\uDFFF": 1}', "must not have lone surrogates"),
        ('{"a": "\\ude42\\ud83d"}', "must not have lone surrogates"),
        ('{"a": [{"b": "\\uD83D\\\\ude42"}]}', "must not have lone surrogates"),
    ],
)
def test_everything_else_is_refused_and_the_reason_told(text: str, told: str) -> None:
    assert (what_is_wrong(text) or "").startswith(told)


def test_every_json_object_of_a_request_is_looked_at() -> None:
    bad = v1.JsonObject(json="[]")
    assert violated(agent(metadata=bad)) == ["agent.metadata.json"]
    assert violated(with_call(input=bad)) == [
        "messages.messages[0].message.content.parts.parts[0].tool_call.input.json",
    ]
    assert violated(approval(edited_arguments=bad)) == [
        "messages.messages[0].approval.approvals[0].approval.edited_arguments.json",
    ]
    tool = v1.ClientTool(name="t", parameters=bad)
    request = v1.CreateMessageAsyncRequest(client_tools=[tool], metadata=bad)
    assert violated(request) == ["agent_id", "payload", "client_tools[0].parameters.json", "metadata.json"]
