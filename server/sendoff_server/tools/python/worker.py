"""What the worker of a Python tool does: it runs the tool's source code, and answers in one JSON document.

Run by `child.py`, by its path: standard library only. Two acts, told by `order["act"]`:

- "call": {"source", "name", "arguments"} -> {"text": str} or {"error": str}
- "describe": {"source", "name"} -> {"name": str, "description": str, "schema": {...} or null, "misfit": str} or
  {"error": str}; `misfit` tells why there is no schema. An empty name is that of its only public function.

The answer is written to a file descriptor of its own, so that the tool may print what it likes.
"""

from __future__ import annotations

import inspect
import json
import linecache
import os
import sys
import traceback
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

MODULE = "tool"
"""Name of the module that the source code makes."""
MAX_CHARACTERS = 1_000_000
"""Of a result; no tool may show a model more (Tool.return_char_limit)."""
_MAX_TOLD = 8_000
"""Characters of an error's message."""
_MAX_FRAMES = 10

_Function = Callable[..., Any]
_NOT_SCHEMAS = frozenset({"default", "const", "enum", "examples"})
_MAPS_OF_SCHEMAS = frozenset({"properties", "$defs", "patternProperties"})


class Unfit(Exception):
    """The source code is not one of a tool."""


def work(order: Mapping[str, Any], result_fd: int) -> int:
    """Do what is ordered and write the answer; the exit code."""
    os.set_inheritable(result_fd, False)
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    answer = json.dumps(_done(order), ensure_ascii=False).encode("utf-8", "replace")
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # the tool closed it
    while answer:
        answer = answer[os.write(result_fd, answer) :]
    return 0


def _done(order: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return _ACTS[order["act"]](order)
    except BaseException as error:  # whatever the tool raises is its result
        return {"error": _told(error)}


def _call(order: Mapping[str, Any]) -> dict[str, Any]:
    os.environ.update(order["environment"])  # here and no sooner: of no other process anybody may read them
    function = _function(_module(order["source"], order["name"]), order["name"])
    result = _converting(function)(**order["arguments"])
    if inspect.isawaitable(result):
        import asyncio  # most tools do without, and start sooner

        result = asyncio.run(_awaited(result))
    return {"text": _cut(_text(result))}


async def _awaited(result: typing.Awaitable[Any]) -> Any:
    return await result


def _text(result: Any) -> str:
    if isinstance(result, str):
        return result
    if result is None:
        return ""
    try:
        return json.dumps(result, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        kind = type(result).__name__
        raise TypeError(f"the tool returned what JSON cannot hold ({error}): a {kind}; return text or JSON") from None


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    note = f"... [truncated {len(text) - MAX_CHARACTERS + 64} chars]"
    return text[: MAX_CHARACTERS - 64] + note


# ---- the source code ----


def _module(source: str, name: str) -> types.ModuleType:
    """The module that the source code makes. Raises what it raises."""
    filename = _filename(name)
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module  # where pydantic and dataclasses look up what annotations name
    exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what this process is for
    return module


def _filename(name: str) -> str:
    return f"<{name}>"


def _function(module: types.ModuleType, name: str) -> _Function:
    """The module's function of the tool's name, else its only public one. Raises Unfit."""
    own: dict[str, _Function] = {
        key: value
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == MODULE and not key.startswith("_")
    }
    named = own.get(name) or own.get(name.replace("-", "_"))
    if named is not None:
        return named
    if not own:
        raise Unfit("it defines no public function")
    if len(own) > 1:
        told = f"and none is called {name}" if name else "and a name has to tell which is the tool"
        raise Unfit(f"it defines several public functions ({', '.join(sorted(own)[:8])}) {told}")
    return next(iter(own.values()))


# ---- arguments ----


def _converting(function: _Function) -> _Function:
    """The function; if its annotations want more than JSON has, behind pydantic's conversion, where that knows how."""
    try:
        wanted = typing.get_type_hints(function)
    except Exception:  # names that do not exist: no conversion, and the function may still work
        return function
    wanted.pop("return", None)
    if all(map(_is_plain, wanted.values())):
        return function
    from pydantic import validate_call
    from pydantic.errors import PydanticUserError

    try:
        return validate_call(function)
    except PydanticUserError:
        return function


def _is_plain(annotation: Any) -> bool:
    """Whether parsed JSON is what it asks for."""
    if annotation in (str, int, float, bool, type(None), list, dict, object, Any):
        return True
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return True
    return origin in (list, dict, typing.Union, types.UnionType) and all(map(_is_plain, typing.get_args(annotation)))


# ---- what the tool is, for the model ----


def _describe(order: Mapping[str, Any]) -> dict[str, Any]:
    import docstring_parser

    function = _function(_module(order["source"], order["name"]), order["name"])
    try:
        documented = docstring_parser.parse(inspect.getdoc(function) or "")
    except docstring_parser.ParseError:
        documented = docstring_parser.Docstring()
        documented.short_description = inspect.getdoc(function)
    schema, misfit = _schema(function, {param.arg_name: param.description or "" for param in documented.params})
    description = "\n\n".join(filter(None, (documented.short_description, documented.long_description)))
    return {"name": function.__name__, "description": description, "schema": schema, "misfit": misfit}


def _schema(function: _Function, told: Mapping[str, str]) -> tuple[dict[str, Any] | None, str]:
    """JSON Schema of the arguments, with what the docstring tells of them; or None, and why there is none."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            return None, f"the parameter {parameter.name} of {function.__name__} has no name that a caller could use"
    try:
        schema = _untitled(TypeAdapter(typing.cast(Any, function)).json_schema())
    except (PydanticUserError, NameError) as error:
        return None, _told(error).partition("\n")[0]
    for name, shape in schema.get("properties", {}).items():
        if told.get(name):
            shape.setdefault("description", told[name])
    return {"type": "object", "properties": {}} | schema, ""


def _untitled(schema: Any) -> Any:
    """The schema without the titles that pydantic makes of names."""
    if isinstance(schema, list):
        return [_untitled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value
        if key in _NOT_SCHEMAS
        else {name: _untitled(each) for name, each in value.items()}
        if key in _MAPS_OF_SCHEMAS
        else _untitled(value)
        for key, value in schema.items()
        if key != "title"
    }


# ---- errors ----


def _told(error: BaseException) -> str:
    """Type and message of an error, and where in the tool's own source it came from."""
    if isinstance(error, Unfit):
        return str(error)
    try:
        message = str(error)
    except Exception:  # a tool's own exception class
        message = "(its message cannot be made)"
    kind = type(error).__name__
    first = f"{kind}: {message}" if message else kind
    return "\n".join([first[:_MAX_TOLD], *_places(error)])


def _places(error: BaseException) -> list[str]:
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename.startswith("<")]
    own = [each for each in frames if each.filename in linecache.cache]
    return [f"  line {each.lineno}, in {each.name}: {(each.line or '')[:200]}" for each in own[-_MAX_FRAMES:]]


_ACTS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"call": _call, "describe": _describe}
