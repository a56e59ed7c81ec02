"""`sendoff files ...`."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from sendoff import v1
from sendoff.cli import details, output, wording
from sendoff.cli.ids import FileId
from sendoff.cli.pictures import picture
from sendoff.cli.session import Json, session

files = typer.Typer(no_args_is_help=True, help="Pictures that the server keeps.")

_MOST_PER_PAGE = 1000


@files.command("put")
def put(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PICTURE", help="The picture.")],
    name: Annotated[str | None, typer.Option(help="Its name; unset: that of the picture.")] = None,
    media_type: Annotated[str | None, typer.Option("--type", help="As image/png; unset: what its name says.")] = None,
    request_id: Annotated[
        str | None, typer.Option(help="Name of this request: sent again, it is the same file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep a picture; prints its id, which `sendoff send --image` takes."""
    data, kind = picture(path, media_type, told_as="PICTURE")
    with session(context).client() as client:
        made = client.create_file(data, kind, name=Path(path).name if name is None else name, request_id=request_id)
    if as_json:
        output.document(made)
    else:
        output.say(made.id)


@files.command("ls")
def list_files(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List files, newest first."""
    with session(context).client() as client:
        found = islice(client.files(page_size=min(limit, _MOST_PER_PAGE)), limit)
        output.listing(found, ("FILE", "NAME", "TYPE", "BYTES", "CREATED"), _row, as_json=as_json)


@files.command("get")
def get(
    context: typer.Context,
    file_id: FileId,
    into: Annotated[
        str | None, typer.Option("--output", "-o", metavar="PATH", help="Write the picture there; -: to stdout.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what is known of a file, or fetch it."""
    if into == "-" and as_json:
        raise typer.BadParameter("--output - and --json exclude each other")
    with session(context).client() as client:
        found = client.get_file(file_id, include_data=into is not None)
    if into == "-":
        sys.stdout.buffer.write(found.data)
        sys.stdout.flush()
        return
    if into is not None:
        _write(Path(into), found.data)
    if as_json:
        output.document(found.file)
    else:
        output.fields(details.of_file(found.file))


@files.command("rm")
def remove(
    context: typer.Context,
    file_id: FileId,
    as_json: Json = False,
) -> None:
    """Delete a file. Messages that show it stay; models are told that the picture is gone."""
    with session(context).client() as client:
        client.delete_file(file_id)
    output.removed(file_id, as_json=as_json)


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise typer.BadParameter(f"--output {path}: {error.strerror}") from error


def _row(file: v1.File) -> tuple[str, ...]:
    return file.id, file.name, file.media_type, str(file.size_bytes), wording.moment(file.create_time)
