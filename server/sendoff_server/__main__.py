"""The command `sendoff-server`."""

from __future__ import annotations

import os
import sys

try:
    import typer

    from sendoff_server import settings_flags
    from sendoff_server.commands import backup, keeping, keys, looking, serving
except ModuleNotFoundError as missing:
    if str(missing.name).startswith("sendoff"):
        raise
    # The command comes with the client, too, where none of these is installed.
    sys.exit(f"sendoff-server: the server needs {missing.name}: pip install 'sendoff[server]'")

cli = typer.Typer(
    help="The Sendoff server: durable runs of LLM agents over gRPC and REST.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _command in (serving.serve, serving.demo, looking.doctor):
    cli.command(epilog=settings_flags.provider_help())(_command)
cli.command(hidden=True)(serving.replica)
for _command in (keeping.migrate, backup.backup, backup.restore, looking.settings, looking.metrics, looking.version):
    cli.command()(_command)
for _name, _commands in (
    ("keys", keys.keys),
    ("secrets", keeping.secrets),
    ("models", looking.models),
    ("mcp", looking.mcp),
    ("callbacks", keeping.callbacks),
):
    cli.add_typer(_commands, name=_name)


def main() -> None:
    """The console script."""
    # Children of ours execute another program at once, so gRPC need not look after forks, nor remark on them.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    # What it has to say of its own comes from callers who send nonsense, as often as they do.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    cli()


if __name__ == "__main__":
    main()
