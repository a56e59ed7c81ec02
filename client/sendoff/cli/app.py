"""The command's tree: what there is, and the options before it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sendoff.cli import (
    actions,
    agents,
    audit,
    blocks,
    callbacks,
    conversations,
    dispatch,
    exits,
    files,
    queues,
    runs,
    sending,
    server,
    steps,
    tools,
    top,
)
from sendoff.cli.call.command import call
from sendoff.cli.examples import EXAMPLES, show_examples
from sendoff.cli.session import Session

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Send messages to LLM agents and follow their runs.",
    epilog=exits.help_text(),
)


@app.callback()
def connect(
    context: typer.Context,
    address: Annotated[
        str | None, typer.Option(envvar="SENDOFF_ADDRESS", help="The server, host:port; unset: 127.0.0.1:50051.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="SENDOFF_API_KEY", help="Key. The variable is safer: others see command lines.")
    ] = None,
    tls: Annotated[
        bool | None, typer.Option("--tls/--no-tls", help="Encrypt, and check who the server is. [env: SENDOFF_TLS]")
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca", exists=True, dir_okay=False, help="With --tls: PEM of whom to trust. [env: SENDOFF_CA_FILE]"
        ),
    ] = None,
    certificate_file: Annotated[
        Path | None,
        typer.Option(
            "--certificate",
            exists=True,
            dir_okay=False,
            help="With --tls: PEM of your own certificate. [env: SENDOFF_CERTIFICATE_FILE]",
        ),
    ] = None,
    private_key_file: Annotated[
        Path | None,
        typer.Option(
            "--private-key", exists=True, dir_okay=False, help="PEM of its key. [env: SENDOFF_PRIVATE_KEY_FILE]"
        ),
    ] = None,
    plaintext_api_key: Annotated[
        bool, typer.Option("--plaintext-api-key", help="Send the key without --tls; for networks that encrypt.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that one call may take.", min=0.001)] = 10.0,
) -> None:
    context.obj = Session(
        address, api_key, tls, ca_file, certificate_file, private_key_file, plaintext_api_key, timeout
    )


app.command("send")(sending.send)
app.command("get")(runs.get)
app.command("wait")(runs.wait)
app.command("watch")(runs.watch)
app.command("cancel")(runs.cancel)
app.command("messages")(runs.messages)
app.command("top")(top.top)
app.command("health")(server.health)
app.command("info")(server.info)
app.command("queue")(queues.queue)
app.command("audit")(audit.audit)
app.command("call")(call)
app.add_typer(actions.actions, name="actions")
app.add_typer(agents.agents, name="agents")
app.add_typer(blocks.blocks, name="blocks")
app.add_typer(callbacks.callbacks, name="callbacks")
app.add_typer(conversations.conversations, name="conversations")
app.add_typer(dispatch.dispatch, name="dispatch")
app.add_typer(files.files, name="files")
app.add_typer(runs.runs, name="runs")
app.add_typer(server.models, name="models")
app.add_typer(steps.steps, name="steps")
app.add_typer(tools.tools, name="tools")
show_examples(app, EXAMPLES)
