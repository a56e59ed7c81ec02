"""JSON of the API and messages of the contract are two forms of the same thing, and what is neither is told by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.gateway.codec.paths import json_path
from sendoff_server.gateway.codec.reading import new, read
from sendoff_server.gateway.codec.shapes import Shape, shape
from sendoff_server.gateway.codec.writing import written
from sendoff_server.validation.violations import Violations

KINDS = [
    v1.CreateMessageAsyncRequest,
    v1.InputMessage,
    v1.Content,
    v1.ToolRule,
    v1.Agent,
    v1.Block,
    v1.Conversation,
    v1.Tool,
    v1.Message,
    v1.Run,
    v1.Step,
    v1.MessageDelta,
    v1.PendingAction,
    v1.RespondToActionsRequest,
    v1.WaitRunRequest,
    v1.CancelRunRequest,
]
"""What the door reads or writes, and through them every message below."""
_DEEPEST = 6
_OPAQUE = "opaque"
"""A member of every JSON value and map that is the caller's own, so that tests leave it alone."""
_SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

_TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=8)
_JSON = st.dictionaries(
    _TEXTS, st.none() | st.booleans() | st.integers(-(2**80), 2**80) | _TEXTS | st.lists(_TEXTS, max_size=2)
)
_MICROSECONDS = st.integers(-(10**13), 10**15)


# ---- made-up messages ----


def _descriptor(kind: type[Message]) -> Descriptor:
    descriptor = kind.DESCRIPTOR
    assert isinstance(descriptor, Descriptor)
    return descriptor


def _messages(descriptor: Descriptor, depth: int = 0) -> st.SearchStrategy[Message]:
    """Messages of that type, with every member in some of them."""
    return st.composite(lambda draw: _filled(draw, descriptor, depth))()


def _filled(draw: Any, descriptor: Descriptor, depth: int) -> Message:
    made = new(descriptor)
    message: Any = made
    match shape(descriptor):
        case Shape.JSON:
            message.json = json.dumps({_OPAQUE: 1, **draw(_JSON)}, ensure_ascii=False, separators=(",", ":"))
        case Shape.MOMENT:
            message.FromMicroseconds(draw(_MICROSECONDS))
        case Shape.DURATION:
            message.FromMicroseconds(draw(st.integers(0, 10**12)))
        case _:
            for field in _chosen(draw, descriptor, depth):
                _fill(draw, message, field, depth)
    return made


def _chosen(draw: Any, descriptor: Descriptor, depth: int) -> Iterator[FieldDescriptor]:
    """One arm of each union, and some of the other fields."""
    unions = [one for one in descriptor.oneofs if not one.name.startswith("_")]
    for one in unions:
        arms = list(one.fields) if depth < _DEEPEST else [_shallowest(one.fields)]
        yield draw(st.sampled_from(arms))
    for field in descriptor.fields:
        if field.containing_oneof not in unions and depth < _DEEPEST and draw(st.booleans()):
            yield field


def _shallowest(fields: Any) -> FieldDescriptor:
    arms: Sequence[FieldDescriptor] = fields
    return min(arms, key=lambda arm: 0 if arm.message_type is None else 1 + len(arm.message_type.fields))


def _fill(draw: Any, message: Any, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        getattr(message, field.name).update({_OPAQUE: "1", **draw(st.dictionaries(_TEXTS, _TEXTS, max_size=2))})
    elif field.is_repeated:
        values = draw(st.lists(_value(field, depth), max_size=2))
        getattr(message, field.name).extend(values)
    elif field.message_type is not None:
        part = getattr(message, field.name)
        part.SetInParent()
        part.CopyFrom(draw(_value(field, depth)))
    else:
        setattr(message, field.name, draw(_value(field, depth)))


def _value(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return _messages(field.message_type, depth + 1)
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values if value.number])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=6)
    return {
        FieldDescriptor.CPPTYPE_STRING: _TEXTS,
        FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
        FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
        FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
        FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
        FieldDescriptor.CPPTYPE_FLOAT: st.floats(allow_nan=False, allow_infinity=False, width=32),
    }[field.cpp_type]


def _back(kind: type[Message], told: Any) -> Message:
    """The message that this JSON is."""
    message, found = kind(), Violations()
    read(message, told, "", found)
    found.refuse()
    return message


def _without_nulls(told: Any) -> Any:
    if isinstance(told, dict) and _OPAQUE not in told:
        return {name: _without_nulls(value) for name, value in told.items() if value is not None}
    if isinstance(told, list):
        return [_without_nulls(value) for value in told]
    return told


def _lax(told: Any) -> Any:
    """The same, as careless programs write it: without nulls, with members that nobody knows."""
    if isinstance(told, dict) and told and _OPAQUE not in told:
        return {"x-nobody-knows": [1], **{name: _lax(value) for name, value in told.items() if value is not None}}
    if isinstance(told, list):
        return [_lax(value) for value in told]
    return told


_EACH_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.DESCRIPTOR.name)


@_EACH_KIND
def test_a_message_survives_the_way_to_json_and_back(kind: type[Message]) -> None:
    @_SETTINGS
    @given(_messages(_descriptor(kind)))
    def check(message: Message) -> None:
        told = json.loads(json.dumps(written(message)))
        assert _back(kind, _without_nulls(told)) == message

    check()


@_EACH_KIND
def test_json_survives_the_way_to_a_message_and_back_with_its_nulls_filled_in(kind: type[Message]) -> None:
    @_SETTINGS
    @given(_messages(_descriptor(kind)))
    def check(message: Message) -> None:
        told = written(message)
        assert written(_back(kind, _without_nulls(told))) == told
        assert written(_back(kind, _lax(told))) == told

    check()


@_EACH_KIND
def test_half_a_surrogate_pair_is_told_wherever_it_stands(kind: type[Message]) -> None:
    @settings(_SETTINGS, max_examples=15)
    @given(_messages(_descriptor(kind)), st.data())
    def check(message: Message, data: st.DataObject) -> None:
        told = _without_nulls(written(message))
        places = list(_texts_in(told))
        if places:
            path, holder, name = data.draw(st.sampled_from(places))
            holder[name] = "\ud800"
            found = Violations()
            read(kind(), told, "", found)
            assert any(path.startswith(each.field.lstrip(".")) for each in found.told), (path, found.told)

    check()


def _texts_in(told: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """All texts in JSON: where each stands, what holds it, and under which name."""
    named = told.items() if isinstance(told, dict) else enumerate(told) if isinstance(told, list) else ()
    for name, value in named:
        place = f"{path}[{name}]" if isinstance(told, list) else f"{path}.{name}" if path else str(name)
        if isinstance(value, str):
            yield place, told, name
        yield from _texts_in(value, place)


# ---- paths ----


@_EACH_KIND
def test_the_path_of_a_field_leads_to_its_value_in_the_json(kind: type[Message]) -> None:
    @_SETTINGS
    @given(_messages(_descriptor(kind)))
    def check(message: Message) -> None:
        told = written(message)
        for path, value in _leaves(message):
            assert _at(told, json_path(_descriptor(kind), path)) == value, path

    check()


def _leaves(message: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Paths in the contract of all strings and numbers that are set, with what the JSON must have there."""
    for field, value in message.ListFields():
        here = f"{path}.{field.name}" if path else field.name
        if field.enum_type is not None or field.type == FieldDescriptor.TYPE_BYTES:
            continue
        if field.message_type is None:
            yield from (
                ((f"{here}[{n}]", each) for n, each in enumerate(value)) if field.is_repeated else [(here, value)]
            )
        elif field.message_type.GetOptions().map_entry or shape(field.message_type) in _SPECIAL:
            continue
        elif field.is_repeated:
            for n, each in enumerate(value):
                yield from _leaves(each, f"{here}[{n}]")
        else:
            yield from _leaves(value, here)


_SPECIAL = (Shape.JSON, Shape.MOMENT, Shape.DURATION)


def _at(told: Any, path: str) -> Any:
    for name, index in re.findall(r"([a-z_0-9]+)|\[(\d+)\]", path):
        told = told[name] if name else told[int(index)]
    return told


# ---- lax and bad forms ----


def _request(**members: Any) -> v1.CreateMessageAsyncRequest:
    message = _back(v1.CreateMessageAsyncRequest, members)
    assert isinstance(message, v1.CreateMessageAsyncRequest)
    return message


@pytest.mark.parametrize("number", [3, "3", " 3 ", 3.0])
def test_a_whole_number_may_come_in_other_forms(number: object) -> None:
    assert _request(max_steps=number).max_steps == 3


@pytest.mark.parametrize("word", [True, "true", "True", "1", 1, "yes", "on", "y", "t"])
def test_yes_may_come_in_other_forms(word: object) -> None:
    assert _request(return_logprobs=word).return_logprobs is True


@pytest.mark.parametrize("word", [False, "false", "0", 0, "no", "off", "n", "f"])
def test_no_may_come_in_other_forms(word: object) -> None:
    assert _request(use_assistant_message=word).use_assistant_message is False


@pytest.mark.parametrize(("given", "kept"), [("true", "true"), (True, "true"), (False, "false")])
def test_thinking_may_be_a_string_or_a_bool(given: object, kept: str) -> None:
    assert _request(enable_thinking=given).enable_thinking == kept


@pytest.mark.parametrize(
    ("element", "arm"),
    [
        ({"role": "user", "content": "hi"}, "message"),
        ({"type": "message", "role": "user", "content": "hi"}, "message"),
        ({"type": None, "role": "user", "content": "hi"}, "message"),
        ({"type": "approval", "approvals": []}, "approval"),
        ({"approve": True, "approval_request_id": "message-1"}, "approval"),
        ({"approval_request_id": None}, "approval"),
        ({"type": "tool_return", "tool_returns": []}, "tool_return"),
    ],
)
def test_the_variant_of_an_input_message_is_told_by_its_type_or_else_by_its_members(
    element: dict[str, Any], arm: str
) -> None:
    (read_,) = _request(messages=[element]).messages.messages
    assert read_.WhichOneof("kind") == arm


def _said(content: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


_BAD = [
    ({"max_steps": 2.5}, "max_steps"),
    ({"max_steps": True}, "max_steps"),
    ({"max_steps": None}, "max_steps"),
    ({"max_steps": "three"}, "max_steps"),
    ({"max_steps": 2**31}, "max_steps"),
    ({"use_assistant_message": None}, "use_assistant_message"),
    ({"return_logprobs": 2}, "return_logprobs"),
    ({"return_logprobs": "maybe"}, "return_logprobs"),
    ({"enable_thinking": 1}, "enable_thinking"),
    ({"include_return_message_types": ["telegram"]}, "include_return_message_types[0]"),
    ({"include_return_message_types": "user_message"}, "include_return_message_types"),
    ({"client_tools": [{"name": "a"}, {"name": 5}]}, "client_tools[1].name"),
    ({"client_tools": [{"name": "a", "parameters": "{}"}]}, "client_tools[0].parameters"),
    ({"client_skills": {}}, "client_skills"),
    ({"input": 5}, "input"),
    ({"input": "half \ud800 a pair"}, "input"),
    ({"input": [{"text": "no type"}]}, "input[0].type"),
    ({"input": [{"type": "smell"}]}, "input[0].type"),
    ({"input": [{"type": "text", "text": 5}]}, "input[0].text"),
    ({"messages": {}}, "messages"),
    ({"messages": ["hello"]}, "messages[0]"),
    ({"messages": [{"type": "telegram"}]}, "messages[0].type"),
    ({"messages": [{"approvals": []}]}, "messages[0].role"),
    ({"messages": [{"tool_returns": []}]}, "messages[0].role"),
    ({"messages": [{"role": "boss", "content": "hi"}]}, "messages[0].role"),
    (_said(5), "messages[0].content"),
    (_said({}), "messages[0].content"),
    (_said(["hi"]), "messages[0].content[0]"),
    (_said([{"type": "text", "text": "hi"}, {"type": None}]), "messages[0].content[1].type"),
    (_said([{"type": "image", "source": {"url": "https://x"}}]), "messages[0].content[0].source.type"),
    (_said([{"type": "image"}]), "messages[0].content[0].source"),
    (_said([{"type": "tool_call", "id": "c", "name": "n", "input": "{}"}]), "messages[0].content[0].input"),
    ({"messages": [{"type": "approval", "approvals": [{"approve": True}]}]}, "messages[0].approvals[0].type"),
    (
        {"messages": [{"type": "tool_return", "tool_returns": [{"status": "perhaps"}]}]},
        "messages[0].tool_returns[0].status",
    ),
    (
        {"messages": [{"type": "tool_return", "tool_returns": [{"stdout": ["a", 5]}]}]},
        "messages[0].tool_returns[0].stdout[1]",
    ),
]


@pytest.mark.parametrize(("body", "path"), _BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_what_has_not_the_form_is_told_with_its_path_in_the_json(body: dict[str, Any], path: str) -> None:
    found = Violations()
    read(v1.CreateMessageAsyncRequest(), body, "", found)

    assert [violation.field for violation in found.told] == [path]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "role", "content", "messages", "input", "text", "approvals", "source"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_whatever_json_comes_is_read_or_told_as_violations(told: Any) -> None:
    message, found = v1.CreateMessageAsyncRequest(), Violations()
    read(message, told, "", found)

    assert isinstance(written(message), dict)
