"""`sendoff blocks ...`."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from sendoff import v1
from sendoff.cli import completion, details, output, wording
from sendoff.cli.ids import AgentOption, BlockId
from sendoff.cli.session import Json, session
from sendoff.requests import BlockFields

blocks = typer.Typer(no_args_is_help=True, help="Memory blocks, which stand in the system prompts of agents.")


@blocks.command("ls")
def list_blocks(
    context: typer.Context,
    agent: AgentOption = None,
    label: Annotated[str | None, typer.Option(help="Only those of this label.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List memory blocks, newest first; those of one agent in its order."""
    with session(context).client() as client:
        found = islice(client.blocks(agent, label=label), limit)
        output.listing(found, ("BLOCK", "LABEL", "CHARACTERS", "UPDATED", "DESCRIPTION"), _row, as_json=as_json)


@blocks.command("get")
def get(
    context: typer.Context,
    block_id: BlockId,
    value_only: Annotated[bool, typer.Option("--value", help="Only what is remembered, as it is.")] = False,
    as_json: Json = False,
) -> None:
    """Show a memory block."""
    if value_only and as_json:
        raise typer.BadParameter("--value and --json exclude each other")
    with session(context).client() as client:
        block = client.get_block(block_id)
    if as_json:
        output.document(block)
    elif value_only:
        output.say(block.value)
    else:
        output.fields(details.of_block(block))
        output.say(f"\n{block.value}")


@blocks.command("put")
def put(
    context: typer.Context,
    block_id: Annotated[
        str | None,
        typer.Argument(
            metavar="BLOCK",
            help="Id of the block to change; unset: a new one is made.",
            autocompletion=completion.block_ids,
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Names it to the model; a new one needs it.")] = None,
    value: Annotated[str | None, typer.Option(help="What is remembered; - reads it from stdin.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Instead of --value: a UTF-8 file that has it."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Most characters of the value.", min=1)] = None,
    description: Annotated[str | None, typer.Option(help="What it is for, told to the model.")] = None,
    read_only: Annotated[
        bool | None, typer.Option("--read-only/--writable", help="Whether memory tools may change it.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag to find it by; may be given again.")] = None,
    etag: Annotated[str | None, typer.Option(help="Change it only if this is still its etag.")] = None,
    request_id: Annotated[
        str | None, typer.Option(help="Name of this request: sent again, it is the same new block.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a memory block, or change one; prints its id.

    Of a block that is changed, what is not given stays as it is. `sendoff agents create --block` gives one to an agent.
    """
    fields = _fields(label, _value(value, file), limit, description, read_only, tag)
    _check_use(block_id, label, etag, request_id, fields)
    with session(context).client() as client:
        if block_id is None:
            block = client.create_block(request_id=request_id, **fields)
        else:
            block = client.update_block(block_id, etag=etag, **fields)
    if as_json:
        output.document(block)
    else:
        output.say(block.id)


@blocks.command("rm")
def remove(context: typer.Context, block_id: BlockId, as_json: Json = False) -> None:
    """Delete a memory block; agents that have it go on without it."""
    with session(context).client() as client:
        client.delete_block(block_id)
    output.removed(block_id, as_json=as_json)


def _check_use(
    block_id: str | None, label: str | None, etag: str | None, request_id: str | None, fields: BlockFields
) -> None:
    if block_id is None and label is None:
        raise typer.BadParameter("a new block needs --label; to change a block, name it")
    if block_id is None and etag is not None:
        raise typer.BadParameter("--etag goes with a block to change")
    if block_id is not None and request_id is not None:
        raise typer.BadParameter("--request-id goes with a new block")
    if block_id is not None and not fields:
        raise typer.BadParameter("nothing to change: give --value, --label, --limit, --description, ...")


def _value(value: str | None, file: Path | None) -> str | None:
    if value is not None and file is not None:
        raise typer.BadParameter("--value and --file exclude each other")
    if value == "-":
        return sys.stdin.read()
    if file is None:
        return value
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"--file {file}: it is not UTF-8") from error
    except OSError as error:
        raise typer.BadParameter(f"--file {file}: {error.strerror}") from error


def _fields(
    label: str | None,
    value: str | None,
    limit: int | None,
    description: str | None,
    read_only: bool | None,
    tags: list[str] | None,
) -> BlockFields:
    """What is given, and nothing else."""
    fields: BlockFields = {}
    if label is not None:
        fields["label"] = label
    if value is not None:
        fields["value"] = value
    if limit is not None:
        fields["limit"] = limit
    if description is not None:
        fields["description"] = description
    if read_only is not None:
        fields["read_only"] = read_only
    if tags:
        fields["tags"] = tags
    return fields


def _row(block: v1.Block) -> tuple[str, ...]:
    return block.id, block.label, wording.filling(block), wording.moment(block.update_time), block.description
