"""Where two requests of one form differ, and the same request with something else there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from sendoff_server import ids, page_token
from tests.tenants.answers import ID

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A place where the requests of two tenants differ."""

    path: Path
    """Names of fields, and numbers of elements."""
    field: str
    """Its name with that of its message, or in JSON its name alone."""
    mine: str
    theirs: str

    @property
    def name(self) -> str:
        return ".".join(str(each) for each in self.path)


def differences(mine: Any, theirs: Any, path: Path = (), field: str = "") -> Iterator[Leaf]:
    """Of two messages of one form, or two things of JSON."""
    if isinstance(mine, str):
        if mine != theirs:
            yield Leaf(path, field, mine, theirs)
    elif isinstance(mine, Message):
        for told, value in mine.ListFields():
            name = f"{mine.DESCRIPTOR.name}.{told.name}"
            yield from differences(value, getattr(theirs, told.name), (*path, told.name), name)
    elif isinstance(mine, Mapping):
        for name, value in mine.items():
            yield from differences(value, theirs[name], (*path, name), name)
    elif isinstance(mine, Iterable) and not isinstance(mine, bytes):
        for index, value in enumerate(mine):
            yield from differences(value, theirs[index], (*path, index), field)


def replaced(request: Any, path: Path, value: str) -> Any:
    """The same with that value there."""
    if isinstance(request, Message):
        changed = type(request)()
        changed.CopyFrom(request)
        _put(changed, path, value)
        return changed
    name, *rest = path
    items = dict(request) if isinstance(request, Mapping) else dict(enumerate(request))
    items[name] = replaced(items[name], tuple(rest), value) if rest else value
    return items if isinstance(request, Mapping) else type(request)(items.values())


def _put(within: Any, path: Path, value: str) -> None:
    *outer, last = path
    for name in outer:
        within = within[name] if isinstance(name, int) else getattr(within, name)
    if isinstance(last, int):
        within[last] = value
    else:
        setattr(within, last, value)


class Nobodys:
    """Things that nobody has, and never had: one for each thing that somebody has, and always the same."""

    NAME = "alpho"
    """Sorts beside the name of who is attacked."""

    def __init__(self, *tenants: str) -> None:
        self._known: dict[str, str] = {}
        self._names = re.compile("|".join(map(re.escape, tenants)))

    def like(self, thing: str) -> str:
        """Of the same form."""
        if thing not in self._known:
            self._known[thing] = self._made(thing) if thing else ""
        return self._known[thing]

    def _made(self, thing: str) -> str:
        if ID.fullmatch(thing):
            return _beside(thing)
        if self._names.search(thing):
            return self._names.sub(self.NAME, thing)
        if re.fullmatch(r"call_[0-9a-f]+", thing):
            return ids.call_id(thing)
        if re.fullmatch(r"[0-9a-f]{16}", thing):
            return ids.etag()
        return thing if thing.isdecimal() else self._token(thing)

    def _token(self, token: str) -> str:
        """What leads to where that one leads, behind something that is not there."""
        try:
            place, name, query = page_token._parse(token)
        except ValueError:
            raise AssertionError(f"of what form is {token!r}?") from None
        return page_token.write((place, self.like(name)), query)


def _beside(thing: str) -> str:
    """An id that nobody has, with the same time in front, so that it has the same place among others."""
    prefix, *_, third, fourth, fifth = ids.new(thing.partition("-")[0]).split("-")
    return "-".join([prefix, *thing.split("-")[1:3], third, fourth, fifth])
