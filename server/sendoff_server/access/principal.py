"""Who a call is made for: found out at the door, once, and known to all that the call does."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, StrEnum


class Permission(Enum):
    """What a method or route does, so what a caller must be allowed."""

    INFO = "tells what the server is and offers"
    READ = "reads what belongs to the tenant"
    SEND = "sends messages, and what they carry"
    MANAGE = "makes, changes or deletes what belongs to the tenant"
    STEER = "cancels, answers or sends again what is under way"
    OPERATE = "pauses, and resumes"
    AUDIT = "reads who did what"


class Role(StrEnum):
    """What a credential may do."""

    FULL = "full"
    SEND_ONLY = "send-only"
    READ_ONLY = "read-only"
    OPERATOR = "operator"

    def may(self, permission: Permission) -> bool:
        return permission in _ALLOWED[self]


_ALLOWED = {
    Role.FULL: frozenset(Permission) - {Permission.AUDIT},
    Role.SEND_ONLY: frozenset({Permission.INFO, Permission.SEND}),
    Role.READ_ONLY: frozenset({Permission.INFO, Permission.READ}),
    Role.OPERATOR: frozenset(Permission) - {Permission.SEND, Permission.MANAGE},
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a credential stands for."""

    tenant: str
    role: Role | None
    """None: may do all, because nobody was asked for a credential."""
    key_id: str = ""
    """Of the credential, without what is secret of it; empty: nobody was asked for one."""
    name: str = ""
    """What the operator calls it."""

    def may(self, permission: Permission) -> bool:
        return self.role is None or self.role.may(permission)


_acting: ContextVar[Principal] = ContextVar("acting")


def acting() -> Principal:
    """Who this call is made for. Raises LookupError outside of calls: nothing is done for nobody."""
    return _acting.get()


def acting_fields() -> dict[str, str]:
    """For whom this call is made, as log lines tell it; empty outside of calls."""
    principal = _acting.get(None)
    if principal is None:
        return {}
    fields = {"tenant": principal.tenant}
    return {**fields, "key_id": principal.key_id} if principal.key_id else fields


def act_for(principal: Principal) -> None:
    """Have what follows in this task, and in tasks that it starts, be done for them. For doors."""
    _acting.set(principal)
