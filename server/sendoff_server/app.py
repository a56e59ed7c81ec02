"""Wires the server: the only place that chooses implementations.

Every long-lived part is an async context manager on one exit stack, so that stopping is starting reversed. A part
whose loop breaks takes the process down, loudly.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from sendoff import v1
from sendoff_server.agents.calling import Callers
from sendoff_server.agents.conversation_service import ConversationService
from sendoff_server.agents.directory import AgentDirectory, ConversationDirectory
from sendoff_server.agents.file_service import FileService
from sendoff_server.agents.history_memory import HistoryMemory
from sendoff_server.agents.loop import Loop
from sendoff_server.agents.outfit import Wardrobe
from sendoff_server.agents.pictures import Pictures
from sendoff_server.agents.retry import RetryPolicy
from sendoff_server.agents.service import AgentService
from sendoff_server.agents.toolset import Toolbox
from sendoff_server.api.server import GrpcServer
from sendoff_server.clock import Clock, SystemClock
from sendoff_server.memory.agent_memory import AgentMemory
from sendoff_server.memory.directory import BlockDirectory
from sendoff_server.memory.messages import StoredMessages
from sendoff_server.memory.service import BlockService
from sendoff_server.models.catalogue import ModelCatalogue, catalogue
from sendoff_server.runs.accepting import Acceptance
from sendoff_server.runs.action_service import ActionService
from sendoff_server.runs.answering import Answering
from sendoff_server.runs.executor import Executor
from sendoff_server.runs.expiry import Expiry
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.scheduler import Scheduler
from sendoff_server.runs.service import RunService
from sendoff_server.runs.step_service import StepService
from sendoff_server.runs.waits import Waits
from sendoff_server.runs.watching import Watching
from sendoff_server.server_info import server_info
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.port import Item, Result, Store, StoreFailed
from sendoff_server.store.sqlite.engine import SqliteStore
from sendoff_server.toolbox.directory import ToolDirectory
from sendoff_server.toolbox.server_tools import ServerTools
from sendoff_server.toolbox.service import ToolService
from sendoff_server.tools.mcp import config as mcp_config
from sendoff_server.tools.mcp.servers import McpServers
from sendoff_server.tools.memory import BUILT_IN_TOOLS, MemoryTools
from sendoff_server.tools.port import Tools
from sendoff_server.tools.python.tools import PythonTools, python_tools

BEAT_S = 2.0
LEASE_S = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, as its doors and tests see it."""

    runs: RunService
    agents: AgentService
    tools: ToolService
    tool_directory: ToolDirectory
    models: ModelCatalogue
    scheduler: Scheduler
    grpc: GrpcServer
    mcp_servers: McpServers


async def serve(
    settings: Settings,
    providers: ProviderSettings,
    *,
    stop: asyncio.Event,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until `stop` is set, then drain. `ready` is told "host:port" once callers are served."""
    async with running(settings, providers) as server:
        if not _is_loopback(server.grpc.address):
            log.warning("whoever reaches this address is served: there are no keys yet", address=server.grpc.address)
        if ready is not None:
            ready(server.grpc.address)
        await stop.wait()
        log.info("stopping", runs_under_way=server.scheduler.under_way, grace_s=settings.drain_grace_s)


@asynccontextmanager
async def running(settings: Settings, providers: ProviderSettings, clock: Clock | None = None) -> AsyncIterator[Server]:
    """A server inside the block; on leaving it, it drains."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(_store(settings))
        models = catalogue(settings, providers, clock)
        stack.push_async_callback(models.aclose)
        hub = Hub()
        scheduler = Scheduler(store, hub, clock, max_running=settings.max_running)
        history = HistoryMemory(store)
        agent_directory, conversation_directory = AgentDirectory(store), ConversationDirectory(store)
        block_directory = BlockDirectory(store)
        memory = AgentMemory(block_directory, agent_directory, clock)
        mcp_configs = mcp_config.read(settings.mcp_servers_path)
        server_tools = ServerTools(store, clock, BUILT_IN_TOOLS)
        await server_tools.load(mcp_configs.keys())
        mcp_servers = McpServers(mcp_configs, clock, listener=server_tools)
        tool_directory = ToolDirectory(store, server_tools)
        python = await _python_tools(settings)

        def on_result(item: Item, result: Result) -> None:
            history.on_result(item, result)
            scheduler.on_result(item, result)

        def agent_deleted(agent_id: str) -> None:
            conversation_directory.forget_agent(agent_id)
            history.forget_agent(agent_id)
            hub.forget(agent_id)

        def conversation_deleted(conversation_id: str) -> None:
            history.forget(conversation_id)
            hub.forget(conversation_id)

        commits = GroupCommit(store, clock, on_result)
        retry = RetryPolicy(settings.model_retries)
        wardrobe = Wardrobe(agent_directory, conversation_directory, models, _toolbox(tool_directory), memory)
        callers = Callers(_tools(memory, store, mcp_servers, python), clock, settings.tool_timeout_s)
        action_timeout = timedelta(seconds=settings.action_timeout_s)
        loop = Loop(store, history, wardrobe, callers, Pictures(store), clock, retry, action_timeout=action_timeout)
        max_open = settings.max_queued_per_conversation
        may_approve = settings.allow_approve_on_timeout
        files = FileService(store, clock)
        acceptance = Acceptance(
            agent_directory, conversation_directory, models, files, clock, max_open=max_open, may_approve=may_approve
        )
        answering = Answering(store, commits, scheduler, acceptance, clock)
        waits = Waits(hub, clock)
        watching = Watching(
            store, hub, clock, max_stream_age_s=settings.max_stream_age_s, slow_consumer_s=settings.slow_consumer_s
        )
        runs = RunService(store, commits, scheduler, hub, acceptance, answering, waits, watching, clock)
        actions = ActionService(store, agent_directory, conversation_directory, answering)
        agents = AgentService(
            store,
            agent_directory,
            models,
            memory,
            tool_directory,
            clock,
            cancel_all=runs.cancel_all,
            deleted=agent_deleted,
        )
        tools = ToolService(
            store, tool_directory, agent_directory, clock, python=python, silent_servers=mcp_servers.silent
        )
        conversations = ConversationService(
            store,
            agent_directory,
            conversation_directory,
            models,
            clock,
            cancel_all=runs.cancel_all_of_conversation,
            deleted=conversation_deleted,
        )
        blocks = BlockService(store, block_directory, agent_directory, clock)
        grpc = GrpcServer(
            settings,
            runs=runs,
            actions=actions,
            steps=StepService(store),
            agents=agents,
            conversations=conversations,
            blocks=blocks,
            tools=tools,
            files=files,
            models=models,
            info=server_info(settings),
        )

        await stack.enter_async_context(commits.running())
        await stack.enter_async_context(mcp_servers.running())
        await stack.enter_async_context(scheduler.running(Executor(store, commits, hub, loop, clock)))
        expiry = Expiry(store, answering, runs, clock, may_approve=may_approve)
        await stack.enter_async_context(expiry.running())
        await stack.enter_async_context(grpc)
        await stack.enter_async_context(_beating(store, commits, grpc, clock))
        try:
            yield Server(runs, agents, tools, tool_directory, models, scheduler, grpc, mcp_servers)
        finally:
            await _drain(runs, actions, scheduler, grpc, settings.drain_grace_s)


def _is_loopback(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _store(settings: Settings) -> Store:
    path = settings.database_path
    path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteStore(path, synchronous=settings.sqlite_synchronous)


def _toolbox(directory: ToolDirectory) -> Toolbox:
    """Where runs find the tools of their agents."""
    return directory


def _tools(
    memory: AgentMemory, store: Store, mcp_servers: McpServers, python: PythonTools | None
) -> Mapping[v1.ToolType.ValueType, Tools]:
    """Who calls tools of which kind."""
    kinds: dict[v1.ToolType.ValueType, Tools] = {
        v1.TOOL_TYPE_BUILT_IN: MemoryTools(memory, StoredMessages(store)),
        v1.TOOL_TYPE_MCP: mcp_servers,
    }
    if python is not None:
        kinds[v1.TOOL_TYPE_PYTHON] = python
    return kinds


async def _python_tools(settings: Settings) -> PythonTools | None:
    """None if they are not allowed. Raises PythonToolsUnavailable."""
    if not settings.python_tools:
        return None
    memory_bytes = settings.python_tool_memory_mb * 1024 * 1024
    return await python_tools(memory_bytes=memory_bytes, at_once=settings.max_python_tools)


async def _drain(
    runs: RunService, actions: ActionService, scheduler: Scheduler, grpc: GrpcServer, grace_s: float
) -> None:
    """Tell load balancers, refuse what is new, let watchers end, give runs under way their time."""
    await grpc.announce_drain()
    runs.drain()
    actions.drain()
    await scheduler.drain(grace_s)


@asynccontextmanager
async def _beating(store: Store, commits: GroupCommit, grpc: GrpcServer, clock: Clock) -> AsyncIterator[None]:
    """Keep this replica alive inside the block, free what dead ones held, and tell health whether the store works."""
    async with asyncio.TaskGroup() as group:
        beating = group.create_task(_beat_forever(store, commits, grpc, clock), name="beat")
        try:
            yield
        finally:
            beating.cancel()


async def _beat_forever(store: Store, commits: GroupCommit, grpc: GrpcServer, clock: Clock) -> None:
    while True:
        alive = False
        with suppress(StoreFailed):
            await store.beat()
            await store.reap(LEASE_S)
            alive = not commits.failing
        await grpc.set_serving(alive)
        await clock.sleep(BEAT_S)
