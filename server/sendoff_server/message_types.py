"""The type of a message, and who wants which."""

from __future__ import annotations

from collections.abc import Collection

from sendoff import v1


def message_type(message: v1.Message) -> v1.MessageType.ValueType:
    """The type that belongs to the message's kind."""
    kind = message.WhichOneof("kind")
    return v1.MessageType.Value(f"MESSAGE_TYPE_{kind.upper()}") if kind else v1.MESSAGE_TYPE_UNSPECIFIED


def returned_by(run: v1.Run, message: v1.Message) -> bool:
    """Whether the run's request asked for messages of that type in ListRunMessages."""
    config = run.request_config
    if not config.HasField("include_return_message_types"):
        return True
    return message_type(message) in config.include_return_message_types.values


def of_type(types: Collection[v1.MessageType.ValueType], message: v1.Message) -> bool:
    """Whether the message is of one of these types; with no types, every message is."""
    return not types or message_type(message) in types
