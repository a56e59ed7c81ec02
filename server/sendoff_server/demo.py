"""`sendoff-server demo`: a server, and one message on its way through it, for who sees Sendoff the first time."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from sendoff import AsyncClient, NotAllowed, v1
from sendoff.transcript import Transcript
from sendoff_server import app
from sendoff_server.process import Failed
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.store.port import StoreInUse

EMBEDDED = "local/smollm2-135m"
QUESTION = "Name three things that are good about the sea. Keep it short."


async def show(settings: Settings, providers: ProviderSettings, once: bool, stop: asyncio.Event) -> None:
    """Show one run, then serve on until `stop`; with `once` stop after it.

    Works beside a server that runs: takes a free port if the address is taken, and a throw-away database if another
    process has the usual one. Raises Failed if the run does not complete.
    """
    console = Console(highlight=False, soft_wrap=True)
    settings = _at_free_address(_at_free_address(settings, console, "grpc_address"), console, "http_address")
    try:
        await _serve_and_show(settings, providers, once, stop, console)
    except StoreInUse:
        console.print(f"Another process uses {settings.database_path}; taking a throw-away database.")
        with tempfile.TemporaryDirectory(prefix="sendoff-demo-") as scratch:
            elsewhere = settings.model_copy(update={"database_url": f"sqlite:///{scratch}/sendoff.db"})
            await _serve_and_show(elsewhere, providers, once, stop, console)


async def _serve_and_show(
    settings: Settings, providers: ProviderSettings, once: bool, stop: asyncio.Event, console: Console
) -> None:
    ready: asyncio.Future[app.Server] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(app.serve(settings, providers, ready=ready.set_result, stop=stop))
    showing = asyncio.create_task(_show_run(ready, settings.default_model or EMBEDDED, console))
    try:
        await asyncio.wait({serving, showing}, return_when=asyncio.FIRST_COMPLETED)
        if showing.done():
            _go_on(showing, once, stop, console)
        await serving
        if showing.done():
            showing.result()
    finally:
        showing.cancel()


def _go_on(showing: asyncio.Task[str], once: bool, stop: asyncio.Event, console: Console) -> None:
    """What comes after the demonstration: serving on, or the end."""
    if once or showing.exception() is not None:
        stop.set()
    else:
        console.print(showing.result(), markup=False)


def _at_free_address(settings: Settings, console: Console, field: str) -> Settings:
    """With a free port in that setting, if its own is taken."""
    address: str = getattr(settings, field)
    host, _, port = address.rpartition(":")
    if not host:
        return settings  # off
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return settings  # the server tells what is wrong with it
            console.print(f"{address} is taken; taking a free port.")
            return settings.model_copy(update={field: f"{host}:0"})
    return settings


async def _show_run(ready: asyncio.Future[app.Server], model: str, console: Console) -> str:
    """Show one run; what to try next."""
    server = await ready
    address, http_address = server.grpc.address, server.http.address if server.http is not None else None
    console.print(f"The server is ready at {address}.")
    if http_address is not None:
        console.print(f"Its REST door is http://{http_address}.")
    async with AsyncClient(address) as client:
        try:
            agent = await client.create_agent(name="demo", model=model)
        except NotAllowed as refusal:
            told = "this database has API keys: set SENDOFF_API_KEY to one of role full, or SENDOFF_DATA_DIR to another"
            raise Failed(told) from refusal
        console.print(f"Made [bold]{agent.id}[/bold] on {agent.model}.")
        if agent.model == EMBEDDED:
            console.print(
                "That is a demonstration model of 135 million parameters: it runs anywhere, and is often wrong."
            )
        run = await client.send(agent.id, QUESTION)
        console.print(f"Sent it a message, and got [bold]{run.id}[/bold] back at once. The answer, as it is written:\n")
        finished = await _follow(client, run.id, console)
    console.print(_summary(finished))
    if finished.status != v1.RUN_STATUS_COMPLETED:
        raise Failed(f"the run did not complete: {finished.error.message or 'no error is told'}")
    return _next_steps(address, agent.id, run.id) + _over_rest(http_address, run.id) + _SERVING_ON


async def _follow(client: AsyncClient, run_id: str, console: Console) -> v1.Run:
    """Print the text as it grows, up to the run's end."""
    console.print(f"> {QUESTION}\n", style="dim")
    transcript = Transcript()
    async for entry in client.watch(run_id, include_deltas=True):
        for change in transcript.apply(entry):
            if change.rewritten:
                console.print("\n\n(The answer is written once more.)\n")
            if change.part.kind == "text":
                console.print(change.added, end="", markup=False)
        if isinstance(entry, v1.RunEvent) and entry.HasField("finished"):
            console.print("\n")
            return entry.finished.run
    raise Failed("the watch ended before the run")


def _summary(run: v1.Run) -> str:
    status = v1.RunStatus.Name(run.status).removeprefix("RUN_STATUS_").lower()
    reason = v1.StopReason.Name(run.stop_reason).removeprefix("STOP_REASON_").lower()
    facts = [
        f"{run.usage.completion_tokens} tokens",
        f"first after {run.ttft_ns / 1e6:.0f} ms",
        f"all after {run.total_duration_ns / 1e6:.0f} ms",
        f"{run.last_sequence} events in its log",
    ]
    return f"The run is [bold]{status}[/bold] ({reason}): {', '.join(facts)}."


def _next_steps(address: str, agent_id: str, run_id: str) -> str:
    """Commands to paste into another terminal; not indented, so that they can be pasted as they stand."""
    here = Path(sys.executable).parent
    commands = here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here
    return f"""
Try next, in another terminal of this directory:

export SENDOFF_ADDRESS={address}
{commands}/sendoff send {agent_id} "And what is bad about it?" --watch
{commands}/sendoff runs ls
{commands}/sendoff watch {run_id}

With the generated stub, nothing but grpc:

{commands}/python - <<'END'
import grpc
from sendoff import v1
from sendoff.v1.run_service_pb2_grpc import RunServiceStub
with grpc.insecure_channel("{address}") as channel:
    runs = RunServiceStub(channel)
    request = v1.CreateMessageAsyncRequest(agent_id="{agent_id}")
    request.input.text = "Say hello."
    run = runs.CreateMessageAsync(request)
    print(runs.WaitRun(v1.WaitRunRequest(run_id=run.id)))
END

With no stub, through server reflection (grpcurl does it too):

{commands}/buf curl --protocol grpc --http2-prior-knowledge -d '{{"run_id": "{run_id}"}}' \\
  http://{address}/sendoff.v1.RunService/GetRun
"""


def _over_rest(http_address: str | None, run_id: str) -> str:
    if http_address is None:
        return ""
    return f"""
With curl, over REST:

curl -sS http://{http_address}/v1/runs/{run_id}/messages
"""


_SERVING_ON = "\nServing on, until Ctrl-C."
