"""Pictures named on the command line."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path

import typer

from sendoff import v1

_STORED = re.compile(r"file-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def image(source: str) -> v1.Image:
    """What `--image` names: the id of a file that the server keeps, a URL, or a picture on this machine."""
    if _STORED.fullmatch(source):
        return v1.Image(letta=v1.Image.Stored(file_id=source))
    if source.startswith(("http://", "https://", "data:")):
        return v1.Image(url=v1.Image.Url(url=source))
    data, media_type = picture(source, told_as="--image")
    return v1.Image(base64=v1.Image.Base64(data=data, media_type=media_type))


def picture(path: str, media_type: str | None = None, *, told_as: str) -> tuple[bytes, str]:
    """The bytes of a picture on this machine, and its media type, by its name unless it is given.

    Raises typer.BadParameter, speaking of the parameter as `told_as`.
    """
    kind = media_type or mimetypes.guess_type(path)[0]
    if kind is None or not kind.startswith("image/"):
        raise typer.BadParameter(f"{told_as} {path}: its name does not tell what kind of picture it is")
    try:
        return Path(path).read_bytes(), kind
    except OSError as error:
        raise typer.BadParameter(f"{told_as} {path}: {error.strerror}") from error
