"""Commands that look, and change nothing: at the machine, the models, the tools and what there is to know."""

from __future__ import annotations

import asyncio
import functools
import sys
from importlib.metadata import version as version_of
from typing import Annotated

import typer

from sendoff_server import logs, settings_flags
from sendoff_server.commands.shared import ALL, LOGS, catalogue_of, make_data_dir, mcp_servers_of, pull, with_settings
from sendoff_server.settings import Settings

models = typer.Typer(help="The models that a server with these settings offers.", no_args_is_help=True)
mcp = typer.Typer(help="The MCP servers whose tools agents may call.", no_args_is_help=True)


@with_settings(*ALL)
def doctor(
    settings: Settings,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print a list for programs.")] = False,
) -> None:
    """Look at all that `serve` with these settings needs, and say what to mend. Changes nothing.

    Looks at the settings, the data directory, open files, the addresses, who is let in, TLS, the database and its
    clock, the models' providers and the MCP servers. The exit code is 1 if something keeps a server from working as it
    should.
    """
    from sendoff_server.doctor import command
    from sendoff_server.tools.mcp.report import faults

    if "log_level" not in settings.model_fields_set:
        logs.configure(settings.log_format, "critical")  # what is wrong is told by the findings
    offered, ask_tools = catalogue_of(settings), functools.partial(faults, mcp_servers_of(settings))

    async def main() -> bool:
        try:
            return await command.run(settings, offered, ask_tools, as_json=json)
        finally:
            await offered.aclose()

    if not asyncio.run(main()):
        raise typer.Exit(1)


@models.command("ls")
@with_settings("data_dir", "default_model", "scripted_model", *LOGS)
def list_models(settings: Settings) -> None:
    """List the models, as their providers tell them now."""
    offered = catalogue_of(settings)

    async def main() -> None:
        listed = await offered.list()
        await offered.aclose()
        for model in listed.models:
            default = "  (default)" if model.handle == listed.default_handle else ""
            print(f"{model.handle}{default}")
        for provider in listed.unreachable:
            print(f"{provider}/* did not answer", file=sys.stderr)

    asyncio.run(main())


@models.command("pull")
@with_settings("data_dir", *LOGS)
def pull_weights(settings: Settings) -> None:
    """Fetch the weights of the embedded model, unless they are there already."""
    make_data_dir(settings)
    pull(settings)


@mcp.command("ls")
@with_settings("mcp_servers_file", *LOGS)
def listmcp_servers_of(settings: Settings) -> None:
    """Connect to the MCP servers, and list their tools. The exit code is 1 if one of them does not answer."""
    from sendoff_server.tools.mcp.report import report

    if "log_level" not in settings.model_fields_set:
        logs.configure(settings.log_format, "error")  # what is wrong is told by the report
    if not asyncio.run(report(mcp_servers_of(settings))):
        raise typer.Exit(1)


def settings() -> None:
    """Print all settings as the Markdown table that the README shows."""
    print(settings_flags.table())


def metrics() -> None:
    """Print all metrics as the Markdown table that their page shows."""
    from sendoff_server.sight.catalogue import table

    print(table())


def version() -> None:
    """Print the version."""
    print(version_of("sendoff"))
