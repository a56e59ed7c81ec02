"""How messages of the contract look in the API's JSON, told from their descriptors.

Most need no word: a message is an object whose members have the names of its fields. Arms of a `oneof` are named like
the `type` values of the dialect, so one rule serves all unions: {"type": <arm>, ...the arm's own members}. What is left
is a small table of exceptions.
"""

from __future__ import annotations

from enum import Enum, auto

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from sendoff import v1


class Shape(Enum):
    """How a message is written."""

    OBJECT = auto()
    """As an object with its fields as members."""
    LIST = auto()
    """As the list that is its only field; it is a message because an unset and an empty list differ."""
    UNION = auto()
    """As {"type": <arm>, ...}, with the arm's members beside the message's other fields."""
    SOURCE = auto()
    """As an object in which the member named like the `oneof` holds {"type": <arm>, ...}."""
    TEXT_OR_PARTS = auto()
    """As a string or as a list."""
    JSON = auto()
    """As the JSON value that its text holds."""
    MOMENT = auto()
    """As an RFC 3339 date-time."""
    DURATION = auto()
    """As a number of seconds."""


_BY_NAME = {
    v1.Content.DESCRIPTOR.full_name: Shape.TEXT_OR_PARTS,
    v1.JsonObject.DESCRIPTOR.full_name: Shape.JSON,
    v1.Image.DESCRIPTOR.full_name: Shape.SOURCE,
    "google.protobuf.Timestamp": Shape.MOMENT,
    "google.protobuf.Duration": Shape.DURATION,
}
_WITH_ALTERNATIVES = frozenset(
    {v1.CreateMessageAsyncRequest.DESCRIPTOR.full_name, v1.WatchRunRequest.DESCRIPTOR.full_name}
)
"""Objects of whose members some exclude each other, without a type that says which is there."""

_NOT_NULL = frozenset(
    {
        "max_steps",
        "include_compaction_messages",
        "return_logprobs",
        "return_token_ids",
        "use_assistant_message",
        "assistant_message_tool_name",
        "assistant_message_tool_kwarg",
    }
)
"""Members of a message request that can be absent and not null."""


def members_not_null(message: Descriptor) -> frozenset[str]:
    """Members that can be absent and not null."""
    return _NOT_NULL if message.full_name == v1.CreateMessageAsyncRequest.DESCRIPTOR.full_name else frozenset()


def shape(message: Descriptor) -> Shape:
    """The shape of messages of that type."""
    known = _BY_NAME.get(message.full_name)
    if known is not None:
        return known
    if union(message):
        return Shape.UNION
    if len(message.fields) == 1 and message.fields[0].is_repeated:
        return Shape.LIST
    return Shape.OBJECT


def is_list_in_arm(message: Descriptor) -> bool:
    """Whether it is written as a list alone, which as an arm of a union it cannot be: there its list has a name."""
    return shape(message) is Shape.LIST


def union(message: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The arms of the message's one `oneof`; none if it has none. `optional` fields do not count."""
    (*found,) = [one for one in message.oneofs if not one.name.startswith("_")]
    if len(found) != 1 or message.full_name in _WITH_ALTERNATIVES:
        return ()
    return tuple(found[0].fields)


def union_name(message: Descriptor) -> str:
    return next(one.name for one in message.oneofs if not one.name.startswith("_"))


def enum_words(enum: EnumDescriptor) -> dict[str, int]:
    """The dialect's words for the values: without the prefix that protobuf wants, in lower case, but for 0."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number}
