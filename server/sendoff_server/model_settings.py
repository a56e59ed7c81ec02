"""How a model is called: whose settings count, and what a model can be set to. Pure rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from google.protobuf.message import Message

from sendoff import v1
from sendoff_server.errors import Unsupported, Violation

FORMAT: Final = "response_format"
_EVERY_MODEL = frozenset({"parallel_tool_calls"})
"""What the loop sees to."""
_CHANGES_NOTHING: Mapping[str, object] = {"temperature": 1.0, "top_p": 1.0, "frequency_penalty": 0.0, "strict": False}
"""Values that are so without being told."""


def settings_of(agent: v1.Agent, conversation: v1.Conversation | None) -> v1.ModelSettings:
    """The conversation's settings, and where it has none the agent's, field by field; None for the default one."""
    settings = v1.ModelSettings()
    settings.CopyFrom(agent.model_settings)
    if not settings.HasField("parallel_tool_calls") and agent.HasField("parallel_tool_calls"):
        settings.parallel_tool_calls = agent.parallel_tool_calls
    if conversation is not None:
        if conversation.model_settings.HasField(FORMAT):
            settings.ClearField(FORMAT)  # a form is replaced whole
        settings.MergeFrom(conversation.model_settings)
    return settings


def window_limit_of(agent: v1.Agent, conversation: v1.Conversation | None) -> int:
    """Most tokens of a context by the settings; 0: they do not tell."""
    if conversation is not None and conversation.HasField("context_window_limit"):
        return conversation.context_window_limit
    return agent.context_window_limit


def applicable(settings: v1.ModelSettings, model: v1.Model) -> v1.ModelSettings:
    """Those of the settings that the model can be set to."""
    lacking = dict(_lacking(settings, model))
    if not lacking and not _idle(settings, model):
        return settings
    return without(settings, (*lacking, *_idle(settings, model)))


def without(settings: v1.ModelSettings, names: Iterable[str]) -> v1.ModelSettings:
    """The settings but for those of these names."""
    others = v1.ModelSettings()
    others.CopyFrom(settings)
    message: Message = others
    for name in names:
        message.ClearField(name)
    return others


def check_applicable(settings: v1.ModelSettings, model: v1.Model, path: str) -> None:
    """Raises Unsupported, naming each of the settings that the model cannot be set to; they stand at `path`."""
    found = [
        Violation(f"{path}.{name}", f"the model {model.handle} {told}; leave it out, or choose another model")
        for name, told in _lacking(settings, model)
    ]
    if found:
        raise Unsupported(found)


def _lacking(settings: v1.ModelSettings, model: v1.Model) -> Iterator[tuple[str, str]]:
    """The fields that the model cannot be set to, each with what is wrong."""
    for field, value in settings.ListFields():
        if field.name == FORMAT:
            form = settings.response_format.WhichOneof("format")
            if form not in (None, "text", *model.supported_response_formats):
                yield FORMAT, f"cannot be bound to {form}"
        elif not _takes(model, field.name) and _CHANGES_NOTHING.get(field.name) != value:
            yield field.name, f"cannot be set to a {field.name}"


def _idle(settings: v1.ModelSettings, model: v1.Model) -> list[str]:
    """The fields that change nothing, and that the model would not even be told."""
    return [
        field.name
        for field, value in settings.ListFields()
        if field.name != FORMAT and not _takes(model, field.name) and _CHANGES_NOTHING.get(field.name) == value
    ]


def _takes(model: v1.Model, name: str) -> bool:
    return name in _EVERY_MODEL or name in model.supported_settings
