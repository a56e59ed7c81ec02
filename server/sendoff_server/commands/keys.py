"""`sendoff-server keys`: makes, lists and revokes the keys that let callers in, beside servers that run."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from sendoff_server.access.principal import Role
from sendoff_server.commands.shared import LOGS, fail, run_telling, with_settings
from sendoff_server.settings import Settings

if TYPE_CHECKING:
    from sendoff_server.store.api_keys import ApiKey, ApiKeyDesk

keys = typer.Typer(help="The keys that let callers in.", no_args_is_help=True)

STORE = ("data_dir", "database_url", *LOGS)
_SECOND_NS = 1_000_000_000
_UNITS_S = {"h": 3_600, "d": 86_400, "w": 604_800}
_COLUMNS = ("id", "tenant", "role", "name", "state", "created", "expires", "last used")

Tenant = Annotated[str | None, typer.Option("--tenant", help="Only the keys of this tenant.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@keys.command("create")
@with_settings(*STORE)
def create(
    settings: Settings,
    *,
    tenant: Annotated[str, typer.Option(help="Whose agents and runs it gives access to.")] = "default",
    role: Annotated[Role, typer.Option(help="What it may do; see access/README.md.")] = Role.FULL,
    name: Annotated[str, typer.Option(help="What people call it, for lists and logs.")] = "",
    expires: Annotated[
        str, typer.Option(help="How long it counts, as 12h, 90d or 4w; or until when, as 2027-06-30. Unset: for ever.")
    ] = "",
    certificate: Annotated[
        str,
        typer.Option(
            help="Make no secret: let in who has a client certificate with this name, as spiffe://acme/worker."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Make a key, and print it: it cannot be shown again. Servers that run know it at once.

    With the first key that is ever made, servers of this database begin to want one, on every address.
    """
    from sendoff_server.access.making import BadKey, new_key
    from sendoff_server.clock import SystemClock

    try:
        made, token = new_key(
            tenant=tenant,
            role=role,
            name=name,
            expires_ns=_moment_ns(expires),
            certificate=certificate,
            now_ns=SystemClock().now_ns(),
        )
    except BadKey as error:
        fail(str(error), code=2)
    _at_desk(settings, lambda desk: desk.add(made))
    if as_json:
        print(json.dumps({**_json(made), "key": token}))
    elif token is not None:
        print(f"{made.id} for tenant {tenant}, role {role}. This is the only time that it is shown:", file=sys.stderr)
        print(token)
    else:
        print(made.id)


@keys.command("ls")
@with_settings(*STORE)
def list_keys(
    settings: Settings,
    *,
    tenant: Tenant = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are revoked or have expired.")] = False,
    as_json: Json = False,
) -> None:
    """List the keys, without what is secret of them. When one was used last is told a minute late at most."""
    from sendoff_server.clock import SystemClock

    now_ns = SystemClock().now_ns()
    found = _at_desk(settings, lambda desk: desk.all(tenant))
    shown = [key for key in found if everything or _state(key, now_ns) == "active"]
    if as_json:
        print(json.dumps([{**_json(key), "state": _state(key, now_ns)} for key in shown]))
    elif not shown:
        told = "there are no keys" if not found else f"none of {len(found)} keys counts; --all lists them"
        print(told, file=sys.stderr)
    else:
        _print_table([_row(key, now_ns) for key in shown])


@keys.command("revoke")
@with_settings(*STORE)
def revoke(settings: Settings, key_id: Annotated[str, typer.Argument(help="Its id, as `keys ls` tells it.")]) -> None:
    """Have a key count no more, for good. Servers that run let nobody in with it two seconds later."""
    from sendoff_server.clock import SystemClock

    found = _at_desk(settings, lambda desk: desk.revoke(_id_of(key_id), SystemClock().now_ns()))
    if found is None:
        fail(f"there is no key {_id_of(key_id)}; `sendoff-server keys ls --all` lists them")
    print(f"{found.id} of tenant {found.tenant} is revoked since {_when(found.revoked_ns)}.")


def _at_desk(settings: Settings, act: Callable[[ApiKeyDesk], Coroutine[Any, Any, Any]]) -> Any:
    """What the act gives. What goes wrong is told in one line."""
    from sendoff_server import store_parts
    from sendoff_server.clock import SystemClock
    from sendoff_server.store.api_keys import ApiKeyTaken

    given: list[Any] = []

    async def main(_: asyncio.Event) -> None:
        given.append(await act(store_parts.key_desk_of(settings, SystemClock())))

    run_telling(main, ApiKeyTaken)
    return given[0]


def _moment_ns(text: str) -> int | None:
    """The moment that lies so far ahead, or the one that is told; without a zone it is UTC."""
    if not text:
        return None
    found = re.fullmatch("([1-9][0-9]{0,4})([hdw])", text)
    now_s = datetime.now(UTC).timestamp()
    try:
        moment = datetime.fromisoformat(text) if not found else None
    except ValueError:
        _refuse_expiry(text)
    if moment is not None:
        until_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    else:
        assert found is not None
        until_s = now_s + int(found[1]) * _UNITS_S[found[2]]
    if until_s <= now_s:
        _refuse_expiry(text)
    return int(until_s) * _SECOND_NS


def _refuse_expiry(text: str) -> NoReturn:
    fail(f"--expires {text}: expected a span as 12h, 90d or 4w, or a moment to come as 2027-06-30", code=2)


def _id_of(text: str) -> str:
    """The id of a key, told as such or as the front of the key that it is in."""
    found = re.fullmatch("(?:key-|sk-sendoff-)([0-9a-f]{16})(?:-.*)?", text)
    return f"key-{found[1]}" if found else text


def _state(key: ApiKey, now_ns: int) -> str:
    if key.revoked_ns is not None:
        return "revoked"
    return "expired" if key.expires_ns is not None and key.expires_ns <= now_ns else "active"


def _json(key: ApiKey) -> Mapping[str, str | None]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "role": key.role,
        "name": key.name,
        "certificate": key.certificate,
        "created_at": _when(key.created_ns),
        "expires_at": _when(key.expires_ns),
        "revoked_at": _when(key.revoked_ns),
        "last_used_at": _when(key.used_ns),
    }


def _when(moment_ns: int | None) -> str | None:
    if moment_ns is None:
        return None
    return datetime.fromtimestamp(moment_ns // _SECOND_NS, UTC).isoformat().replace("+00:00", "Z")


def _row(key: ApiKey, now_ns: int) -> tuple[str, ...]:
    name = key.name if key.certificate is None else f"{key.name} ({key.certificate})".strip()
    times = (_when(key.created_ns), _when(key.expires_ns) or "never", _when(key.used_ns) or "never")
    return (key.id, key.tenant, key.role, name, _state(key, now_ns), *map(str, times))


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    lines = [tuple(name.upper() for name in _COLUMNS), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
