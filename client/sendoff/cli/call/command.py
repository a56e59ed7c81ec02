"""`sendoff call`."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import Annotated

import typer
from google.protobuf.message import Message

from sendoff.cli import output
from sendoff.cli.call import describing, requests
from sendoff.cli.call.comments import first_sentence
from sendoff.cli.call.contract import Rpc, rpc_named, rpc_names, rpcs
from sendoff.cli.call.wire import Headers, Wire
from sendoff.cli.options import key_values
from sendoff.cli.session import Json, session

_WIDEST = 100


def call(
    context: typer.Context,
    method: Annotated[
        str | None,
        typer.Argument(
            metavar="RPC", help="As RunService/GetRun, or GetRun; unset: all are listed.", autocompletion=rpc_names
        ),
    ] = None,
    request: Annotated[
        list[str] | None,
        typer.Argument(metavar="REQUEST", help="JSON; @FILE: a file that has it; -: from stdin; unset: an empty one."),
    ] = None,
    describe: Annotated[
        bool, typer.Option("--describe", help="Instead: tell what an RPC takes, or what a message or enum is.")
    ] = False,
    header: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, sent with the request; may be given again.")
    ] = None,
    show_headers: Annotated[bool, typer.Option("--show-headers", help="Show those of the answer on stderr.")] = False,
    as_json: Json = False,
) -> None:
    """Call any RPC of the contract, with requests and answers in JSON.

    A stream of requests is given as several, as a file of several, or on stdin, where each line is sent as it comes.
    Answers are printed as they come; a stream goes on until the server or Ctrl-C ends it.
    """
    if method is None:
        if describe or header or show_headers:
            raise typer.BadParameter("--describe, --header and --show-headers go with an RPC")
        _list(as_json=as_json)
    elif describe:
        if request or header or show_headers:
            raise typer.BadParameter("with --describe nothing is sent")
        _describe(method, as_json=as_json)
    else:
        _call(context, _rpc(method), request or [], _headers(header or []), show_headers, as_json=as_json)


def _call(
    context: typer.Context, rpc: Rpc, sources: list[str], sent: Headers, show_headers: bool, *, as_json: bool
) -> None:
    show = output.line if as_json or rpc.method.server_streaming else output.document
    streaming = rpc.method.client_streaming
    said = requests.each(rpc.request, sources, as_they_come=True) if streaming else requests.only(rpc.request, sources)
    with session(context).channel() as (connection, channel):
        wire = Wire(connection, channel, sent, _note_headers if show_headers else _ignore)
        if isinstance(said, Message) and not rpc.method.server_streaming:
            show(wire.ask(rpc, said, session(context).timeout_s))
            return
        with closing(wire.stream(rpc, [said] if isinstance(said, Message) else said)) as answers:
            for answer in answers:
                show(answer)


def _list(*, as_json: bool) -> None:
    rows = [(rpc, first_sentence(describing.rpc_comment(rpc))) for rpc in rpcs().values()]
    if as_json:
        for rpc, told in rows:
            output.value({"rpc": rpc.name, "shape": describing.shape(rpc), "comment": told})
    else:
        output.table(("RPC", "WHAT IT DOES"), ((rpc.name, told) for rpc, told in rows))


def _describe(name: str, *, as_json: bool) -> None:
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    found = describing.type_named(name)
    if found is None:
        rpc = _rpc(name)
        told, lines = describing.rpc_json(rpc), describing.rpc_lines(rpc, width)
    else:
        told, lines = describing.type_json(found), describing.type_lines(found, width)
    if as_json:
        output.value(told)
        return
    for each in lines:
        output.say(each)


def _rpc(name: str) -> Rpc:
    try:
        return rpc_named(name)
    except LookupError as unknown:
        raise typer.BadParameter(str(unknown.args[0])) from unknown


def _note_headers(headers: Headers) -> None:
    for name, value in headers:
        output.note(f"{name}: {value}")


def _ignore(_headers: Headers) -> None:
    """Nobody asked for them."""


def _headers(given: list[str]) -> Headers:
    return [(name.lower(), value) for name, value in key_values("--header", given).items()]
