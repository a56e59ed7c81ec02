"""The call that is being made, as far as the audit will tell of it.

Of calls whose effect is one transaction of the group commit, the entry is written in that transaction: `noted` hangs it
on what the call submits. Of others an entry is written before anything is done, see `trail`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import replace

from google.protobuf.message import Message

from sendoff import v1
from sendoff_server import ids
from sendoff_server.access.principal import Principal
from sendoff_server.store.items import Accept, Item, MarkCancel, NoteAct, NoteAnswers, Progress

DONE = "OK"
_MOST_IDS = 20
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


class Act:
    """One call that changes something."""

    def __init__(self, principal: Principal, method: str, address: str, *, in_transaction: bool) -> None:
        """`in_transaction`: the entry is to be written with what the call submits."""
        self._principal = principal
        self._id = ids.new("audit")
        self.method = method
        self._address = address
        self._named: list[str] = []
        self.in_transaction = in_transaction
        self.is_over = False

    def names(self, named: Iterable[str]) -> None:
        """What the call is about. What is no id is left out."""
        for each in named:
            if each not in self._named and len(self._named) < _MOST_IDS and _ID.fullmatch(each):
                self._named.append(each)

    def note(self, outcome: str = "") -> NoteAct:
        """The entry as it is now, to be written."""
        who = self._principal
        entry = v1.AuditEntry(
            id=self._id,
            key_id=who.key_id,
            key_name=who.name,
            role=who.role or "",
            method=self.method,
            address=self._address,
            resource_ids=self._named,
            outcome=outcome,
        )
        return NoteAct(who.tenant, entry)


_current: ContextVar[Act | None] = ContextVar("act", default=None)


def begin(act: Act) -> None:
    """From now on what this task submits is that call's, until it is over."""
    _current.set(act)


def noted(item: Item) -> Item:
    """The item with the entry of the call that submits it, where that is to be written with it."""
    act = _current.get()
    if act is None or act.is_over or not act.in_transaction:
        return item
    match item:
        case Accept():
            act.names((item.run.id, item.run.agent_id, item.run.conversation_id))
        case Progress():
            act.names((item.run.id, item.run.agent_id))
        case MarkCancel() | NoteAnswers():
            act.names((item.run_id,))
        case _:
            return item
    return replace(item, act=act.note(DONE))


def ids_of(message: Message) -> Iterable[str]:
    """Ids that stand in a request or an answer: its own, those that it names, and that of what it carries."""
    for field, value in message.ListFields():
        if field.name == "id" or (field.name.endswith("_id") and field.name != "request_id"):
            yield str(value)
        elif field.name.endswith("_ids") and not isinstance(value, Message):
            yield from map(str, value)
        elif field.message_type is not None and isinstance(value, Message):
            carried = value.DESCRIPTOR.fields_by_name.get("id")
            if carried is not None and carried.type == carried.TYPE_STRING:
                yield str(getattr(value, carried.name))
