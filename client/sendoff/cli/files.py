"""`sendoff files ...`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from sendoff import v1
from sendoff.cli import output, wording
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
        if as_json:
            for each in found:
                output.line(each)
        else:
            output.table(("FILE", "NAME", "TYPE", "BYTES", "CREATED"), map(_row, found))


@files.command("rm")
def remove(
    context: typer.Context,
    file_id: Annotated[str, typer.Argument(metavar="FILE", help="Id of the file.")],
) -> None:
    """Delete a file. Messages that show it stay; models are told that the picture is gone."""
    with session(context).client() as client:
        client.delete_file(file_id)


def _row(file: v1.File) -> tuple[str, ...]:
    return file.id, file.name, file.media_type, str(file.size_bytes), wording.moment(file.create_time)
