"""A tool that runs here, made of a Python function."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from sendoff import v1
from sendoff.client_tools import docstrings, shapes, structures
from sendoff.client_tools.shapes import Misfit, NoSchema, Shape

ToolFunction: TypeAlias = Callable[..., Any] | tuple[v1.ClientTool | Mapping[str, Any], Callable[..., Any]]
"""A function, whose type hints and docstring tell what it takes and does, or a pair of that and a function.

In a pair it is told by a ClientTool, or by the JSON Schema of the arguments; the function is then called with what the
model wrote, by name. A parameter whose type hint is `v1.ToolCall` is given the call, and not shown to the model: its
`tool_call_id` is the same should the call be made once more.
"""


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function, and what the model is told of it."""

    tool: v1.ClientTool
    is_async: bool
    _function: Callable[..., Any]
    _arguments: Shape
    _call_parameter: str | None

    def bound(self, call: v1.ToolCall) -> Callable[[], Any]:
        """The function with the arguments of a call. Raises Misfit when they are not those that it takes."""
        try:
            given = json.loads(call.arguments) if call.arguments else {}
        except (ValueError, RecursionError) as error:
            raise Misfit(f"arguments: not JSON: {error}") from error
        named = self._arguments.convert(given, "arguments")
        if self._call_parameter is not None:
            named[self._call_parameter] = call
        return partial(self._function, **named)


def by_name(tools: Sequence[ToolFunction]) -> dict[str, FunctionTool]:
    """The tools by the names that the model calls them. Raises NoSchema, and ValueError for two of one name."""
    found: dict[str, FunctionTool] = {}
    for each in tools:
        made = _of_pair(*each) if isinstance(each, tuple) else _of_function(each)
        if made.tool.name in found:
            raise ValueError(f"two tools are called {made.tool.name}")
        found[made.tool.name] = made
    return found


def _of_function(function: Callable[..., Any]) -> FunctionTool:
    told = docstrings.read(inspect.getdoc(function))
    hints, call_parameter = _hints(function), _call_parameter(function)
    parts: dict[str, Shape] = {}
    required: list[str] = []
    open_to = False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise NoSchema(f"{_name(function)}: the parameter {name} has no name that a model could use")
        if parameter.kind is parameter.VAR_KEYWORD:
            open_to = True
        elif name != call_parameter:
            parts[name] = _part(function, hints.get(name, Any), told.arguments.get(name))
            if parameter.default is parameter.empty:
                required.append(name)
    shape = structures.members(parts, required, dict, open_to=open_to)
    tool = v1.ClientTool(name=_name(function), description=told.description or None)
    return _made(tool, function, shape, call_parameter)


def _of_pair(told: v1.ClientTool | Mapping[str, Any], function: Callable[..., Any]) -> FunctionTool:
    shape = Shape(told if isinstance(told, Mapping) else {}, structures.shape_of(dict[str, Any]).convert)
    if isinstance(told, v1.ClientTool):
        tool = v1.ClientTool()
        tool.CopyFrom(told)
        return FunctionTool(tool, _is_async(function), function, shape, _call_parameter(function))
    documented = docstrings.read(inspect.getdoc(function))
    tool = v1.ClientTool(name=_name(function), description=documented.description or None)
    return _made(tool, function, shape, _call_parameter(function))


def _made(tool: v1.ClientTool, function: Callable[..., Any], shape: Shape, call_parameter: str | None) -> FunctionTool:
    try:
        tool.parameters.json = json.dumps(shape.schema, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise NoSchema(f"{tool.name}: JSON cannot hold its schema: {error}") from error
    return FunctionTool(tool, _is_async(function), function, shape, call_parameter)


def _part(function: Callable[..., Any], hint: Any, told: str | None) -> Shape:
    try:
        shape = structures.shape_of(hint)
    except NoSchema as error:
        raise NoSchema(f"{_name(function)}: {error}") from error
    return shapes.described(shape, told) if told and "description" not in shape.schema else shape


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(_called(function), include_extras=True)
    except NameError as error:
        raise NoSchema(f"{_name(function)}: {error}; its type hints cannot be read") from error


def _call_parameter(function: Callable[..., Any]) -> str | None:
    """The parameter that is to be given the call itself."""
    try:
        hints = _hints(function)
    except (NoSchema, TypeError):
        return None
    wants = (name for name, hint in hints.items() if hint is v1.ToolCall or v1.ToolCall in typing.get_args(hint))
    return next((name for name in wants if name != "return"), None)


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        raise NoSchema(f"{function!r} has no name; give it as a pair of a ClientTool and the function")
    return name


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_called(function))


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """What runs when it is called: of an object its `__call__`."""
    if isinstance(function, partial):
        return _called(function.func)
    return function if inspect.isroutine(function) else type(function).__call__
