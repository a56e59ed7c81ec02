"""`sendoff models ls`, `health` and `info`."""

from __future__ import annotations

import json

import typer

from sendoff import v1
from sendoff.cli import output
from sendoff.cli.exits import ExitCode
from sendoff.cli.session import Json, session
from sendoff.errors import DeadlineExceeded, Unavailable
from sendoff.retry import RetryPolicy

models = typer.Typer(no_args_is_help=True, help="Models.")


@models.callback()
def _models() -> None:
    """Models."""  # with a callback `ls` stays a word of its own, though it is the only command


@models.command("ls")
def list_models(context: typer.Context, as_json: Json = False) -> None:
    """List the models that agents can use; * marks the default."""
    with session(context).client() as client:
        found = client.models()
    if as_json:
        output.document(found)
        return
    output.table(
        ("MODEL", "DEFAULT", "CONTEXT", "IMAGES", "USD/M IN", "USD/M OUT"),
        (_row(each, found.default_handle) for each in found.models),
    )
    for provider in found.unreachable:
        output.note(f"{provider} does not answer; its models are left out")


def health(context: typer.Context, as_json: Json = False) -> None:
    """Tell whether the server takes requests: exit code 0 if it does, else 1."""
    with session(context).client(RetryPolicy(max_attempts=1)) as client:
        try:
            serving, told = client.health(), ""
        except (Unavailable, DeadlineExceeded) as error:
            serving, told = False, error.message
    if as_json:
        output.say(json.dumps({"serving": serving}))
    else:
        output.say("serving" if serving else "not serving")
    if told:
        output.complain(told)
    raise typer.Exit(ExitCode.OK if serving else ExitCode.RUN_FAILED)


def info(context: typer.Context, as_json: Json = False) -> None:
    """Show what the server is and can, and its limits."""
    with session(context).client() as client:
        found = client.server_info()
    if as_json:
        output.document(found)
        return
    limits = ((name.replace("_", " "), str(value)) for name, value in sorted(found.limits.items()))
    first = (("version", found.version), ("contract", found.contract_digest), ("features", ", ".join(found.features)))
    output.fields((*first, *_caller(found.caller), *limits))


def _caller(caller: v1.Caller) -> tuple[tuple[str, str], ...]:
    """Servers of older versions do not tell."""
    if not caller.tenant:
        return ()
    key = f"{caller.key_id} {caller.key_name}".strip() or "none needed"
    return (("tenant", caller.tenant), ("role", caller.role or "everything"), ("key", key))


def _row(model: v1.Model, default_handle: str) -> tuple[str, ...]:
    return (
        model.handle,
        "*" if model.handle == default_handle else "",
        str(model.context_window or ""),
        "yes" if model.supports_images else "",
        f"{model.input_microusd_per_mtok / 1e6:g}" if model.HasField("input_microusd_per_mtok") else "",
        f"{model.output_microusd_per_mtok / 1e6:g}" if model.HasField("output_microusd_per_mtok") else "",
    )
