"""The parts of a server, chosen and put together; `app` starts and stops them.

Together with `app` the only place that knows implementations. Nothing here runs yet, but what has to be read before
anything can: the tools that MCP servers were last known to have.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sendoff import v1
from sendoff_server.admission.quotas import QuotaAdmission
from sendoff_server.agents.conversation_service import ConversationService
from sendoff_server.agents.directory import AgentDirectory, ConversationDirectory
from sendoff_server.agents.file_service import FileService
from sendoff_server.agents.secrets import AgentSecrets
from sendoff_server.agents.service import AgentService
from sendoff_server.audit.act import noted
from sendoff_server.audit.service import AuditService
from sendoff_server.audit.trail import Trail
from sendoff_server.callback_parts import courier, dispatcher
from sendoff_server.callbacks.deliveries import DeliveryService
from sendoff_server.callbacks.dispatcher import Dispatcher
from sendoff_server.callbacks.endpoints import EndpointService
from sendoff_server.callbacks.pulling import Pulling
from sendoff_server.callbacks.secrets import EndpointSecrets
from sendoff_server.callbacks.service import CallbackService
from sendoff_server.clock import Clock
from sendoff_server.context.history_memory import HistoryMemory
from sendoff_server.context.pictures import Pictures
from sendoff_server.context.remote_pictures import RemotePictures
from sendoff_server.context.retry import RetryPolicy
from sendoff_server.encryption.sealer import Sealer
from sendoff_server.loop.calling import Callers
from sendoff_server.loop.loop import Loop
from sendoff_server.loop.outfit import Wardrobe
from sendoff_server.loop.toolset import Toolbox
from sendoff_server.loop.upkeep import ByKind, Upkeep
from sendoff_server.memory.agent_memory import AgentMemory
from sendoff_server.memory.directory import BlockDirectory
from sendoff_server.memory.messages import StoredMessages
from sendoff_server.memory.service import BlockService
from sendoff_server.meter import Meters
from sendoff_server.models.catalogue import ModelCatalogue
from sendoff_server.outgoing_parts import guard_of, remote_pictures
from sendoff_server.runs import upkeep
from sendoff_server.runs.accepting import Acceptance
from sendoff_server.runs.action_service import ActionService
from sendoff_server.runs.answering import Answering
from sendoff_server.runs.dispatch_service import DispatchService
from sendoff_server.runs.executor import Executor
from sendoff_server.runs.expiry import Expiry
from sendoff_server.runs.herald import Herald
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.lookout import Lookout
from sendoff_server.runs.presence import Presence
from sendoff_server.runs.purging import Purging
from sendoff_server.runs.queue_stats import QueueStats
from sendoff_server.runs.retention import Retention
from sendoff_server.runs.scheduler import Scheduler
from sendoff_server.runs.service import RunService
from sendoff_server.runs.step_service import StepService
from sendoff_server.runs.waits import Waits
from sendoff_server.runs.watching import Watching
from sendoff_server.server_info import ServerInfo, server_info
from sendoff_server.settings import Settings
from sendoff_server.store.group_commit import GroupCommit, Witness
from sendoff_server.store.items import Item, Result
from sendoff_server.store.port import Store
from sendoff_server.toolbox.directory import ToolDirectory
from sendoff_server.toolbox.server_tools import ServerTools
from sendoff_server.toolbox.service import ToolService
from sendoff_server.tools.mcp import config as mcp_config
from sendoff_server.tools.mcp.servers import McpServers
from sendoff_server.tools.memory import BUILT_IN_TOOLS, MemoryTools
from sendoff_server.tools.port import Tools
from sendoff_server.tools.python.tools import PythonTools, python_tools
from sendoff_server.tracer import Tracer
from sendoff_server.tracing.parts import traced_models, traced_tools
from sendoff_server.use_cases import UseCases


@dataclass(frozen=True, slots=True)
class Shed:
    """Tools of every kind, and who knows them."""

    directory: ToolDirectory
    mcp_servers: McpServers
    python: PythonTools | None
    """None: callers may put none."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What is started and stopped, in this order."""

    commits: GroupCommit
    shed: Shed
    scheduler: Scheduler
    executor: Executor
    lookout: Lookout
    herald: Herald
    expiry: Expiry
    purging: Purging
    callbacks: Dispatcher
    pictures: RemotePictures
    use_cases: UseCases


class Assembly:
    """Puts the parts of one server together around a store and models that are there already."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        models: ModelCatalogue,
        shed: Shed,
        presence: Presence,
        admission: QuotaAdmission,
        clock: Clock,
        meters: Meters,
        tracer: Tracer,
        witness: Witness,
    ) -> None:
        """`witness` is told what was written."""
        self._settings = settings
        self._meters = meters
        self._store = store
        self._models = models
        self._shed = shed
        self._presence = presence
        self._admission = admission
        self._clock = clock
        self._tracer = tracer
        self._hub = Hub(shared=not store.is_alone)
        self._herald = Herald(store, self._hub, clock)
        self._scheduler = Scheduler(
            store,
            self._hub,
            clock,
            max_running=settings.max_running,
            tell_lanes_wait=self._herald.lanes_wait,
            meter=meters.work,
        )
        self._history = HistoryMemory(store)
        self._agents = AgentDirectory(store)
        self._conversations = ConversationDirectory(store)
        self._blocks = BlockDirectory(store)
        self._memory = AgentMemory(self._blocks, self._agents, clock)
        toolbox = toolbox_of(shed.directory)
        self._wardrobe = Wardrobe(
            self._agents, self._conversations, traced_models(models, tracer), toolbox, self._memory
        )
        self._files = FileService(store, admission, clock)
        self._commits = GroupCommit(store, clock, self._on_result, meters.store, witness, noted)
        self._guard = guard_of(settings)
        sealer = Sealer(settings.encryption)
        self._agent_secrets = AgentSecrets(
            sealer, calls_python=shed.python is not None, may_keep_plain=settings.is_local
        )
        self._endpoint_secrets = EndpointSecrets(sealer)
        self._courier = courier(settings, self._guard, self._endpoint_secrets, clock, tracer)
        self._callbacks = dispatcher(settings, store, self._commits, self._courier, self._guard, clock)
        self._pictures = remote_pictures(self._guard, clock)
        self._retention = Retention(timedelta(days=settings.retention_days) if settings.retention_days else None)
        self._acceptance = Acceptance(
            self._agents,
            self._conversations,
            models,
            self._files,
            self._callbacks,
            store,
            self._guard,
            clock,
            max_open=settings.max_queued_per_conversation,
            retention=self._retention,
            may_approve=settings.allow_approve_on_timeout,
        )
        self._answering = Answering(store, self._commits, self._scheduler, self._acceptance, clock, tracer)

    def parts(self) -> Parts:
        runs = self._runs()
        may_approve = self._settings.allow_approve_on_timeout
        return Parts(
            commits=self._commits,
            shed=self._shed,
            scheduler=self._scheduler,
            executor=self._executor(),
            lookout=Lookout(self._store, self._hub, self._scheduler, self._herald, self._clock),
            herald=self._herald,
            expiry=Expiry(self._store, self._answering, runs, self._clock, may_approve=may_approve),
            purging=Purging(self._store, self._hub, self._clock, audit_days=self._settings.audit_days),
            callbacks=self._callbacks,
            pictures=self._pictures,
            use_cases=self._use_cases(runs),
        )

    # ---- runs ----

    def _executor(self) -> Executor:
        return Executor(
            self._store,
            self._commits,
            self._hub,
            self._body(),
            self._presence,
            self._clock,
            self._tracer,
            self._meters.work,
        )

    def _runs(self) -> RunService:
        watching = Watching(
            self._store,
            self._hub,
            self._clock,
            max_stream_age_s=self._settings.max_stream_age_s,
            slow_consumer_s=self._settings.slow_consumer_s,
            meter=self._meters.streams,
        )
        return RunService(
            self._store,
            self._commits,
            self._scheduler,
            self._hub,
            self._acceptance,
            self._answering,
            Waits(self._hub, self._clock),
            watching,
            self._admission,
            self._clock,
            self._tracer,
        )

    def _body(self) -> ByKind:
        settings, store, history, clock = self._settings, self._store, self._history, self._clock
        callers = Callers(
            traced_tools(callers_of(self._shed, self._memory, store), self._tracer),
            clock,
            settings.tool_timeout_s,
            self._agent_secrets.environment,
            self._meters.work,
        )
        retry = RetryPolicy(settings.model_retries)
        timeout = timedelta(seconds=settings.action_timeout_s)
        wardrobe, pictures = self._wardrobe, Pictures(store, self._pictures, clock)
        return ByKind(
            messages=Loop(store, history, wardrobe, callers, pictures, clock, retry, action_timeout=timeout),
            upkeep=Upkeep(store, history, wardrobe, callers, pictures, clock, retry, action_timeout=timeout),
        )

    # ---- use cases ----

    def _use_cases(self, runs: RunService) -> UseCases:
        store, clock, shed = self._store, self._clock, self._shed
        return UseCases(
            runs=runs,
            actions=ActionService(
                store, self._agents, self._conversations, self._answering, self._files, self._admission
            ),
            steps=StepService(store),
            agents=AgentService(
                store,
                self._agents,
                self._models,
                self._memory,
                shed.directory,
                clock,
                conversations=self._conversations,
                compiled=self._wardrobe.compiled,
                secrets=self._agent_secrets,
                cancel_all=runs.cancel_all,
                deleted=self._agent_deleted,
            ),
            conversations=ConversationService(
                store,
                self._agents,
                self._conversations,
                self._models,
                clock,
                upkeep=self._upkeep(runs),
                cancel_all=runs.cancel_all_of_conversation,
                deleted=self._conversation_deleted,
            ),
            blocks=BlockService(store, self._blocks, self._agents, clock),
            callbacks=self._callback_service(),
            tools=ToolService(
                store,
                shed.directory,
                self._agents,
                clock,
                python=shed.python,
                silent_servers=shed.mcp_servers.silent,
            ),
            files=self._files,
            models=self._models,
            dispatch=DispatchService(store, clock, self._scheduler.lanes_were_freed),
            audit=AuditService(store),
            trail=Trail(self._commits),
            queue=QueueStats(store),
            info=ServerInfo(server_info(self._settings), self._admission),
        )

    def _callback_service(self) -> CallbackService:
        store, callbacks, clock = self._store, self._callbacks, self._clock
        return CallbackService(
            endpoints=EndpointService(
                store,
                self._agents,
                self._courier,
                self._guard,
                clock,
                secrets=self._endpoint_secrets,
                made=callbacks.expect_endpoints,
            ),
            deliveries=DeliveryService(store, callbacks.doorbell, clock),
            pulling=self._pulling(),
        )

    def _pulling(self) -> Pulling:
        return Pulling(
            self._store,
            self._commits,
            self._callbacks.doorbell,
            self._admission,
            self._clock,
            give_up_s=self._settings.callback_give_up_s,
            max_stream_age_s=self._settings.max_stream_age_s,
            chance=random.random,
        )

    def _upkeep(self, runs: RunService) -> upkeep.Upkeep:
        return upkeep.Upkeep(
            self._store,
            self._commits,
            self._scheduler,
            self._acceptance,
            self._answering,
            runs,
            self._retention,
            self._admission,
            self._clock,
            self._tracer,
        )

    # ---- who is told of what ----

    def _on_result(self, item: Item, result: Result) -> None:
        self._history.on_result(item, result)
        self._scheduler.on_result(item, result)
        self._callbacks.on_result(item, result)
        self._herald.on_result(item, result)

    def _agent_deleted(self, agent_id: str) -> None:
        self._conversations.forget_agent(agent_id)
        self._history.forget_agent(agent_id)
        self._hub.forget(agent_id)

    def _conversation_deleted(self, conversation_id: str) -> None:
        self._history.forget(conversation_id)
        self._hub.forget(conversation_id)


async def shed_of(settings: Settings, store: Store, clock: Clock) -> Shed:
    """The tools that the settings allow. Raises BadMcpServers, PythonToolsUnavailable, StoreFailed."""
    configs = mcp_config.read(settings.mcp_servers_path)
    server_tools = ServerTools(store, clock, BUILT_IN_TOOLS)
    await server_tools.load(configs.keys())
    return Shed(
        directory=ToolDirectory(store, server_tools),
        mcp_servers=McpServers(configs, clock, listener=server_tools),
        python=await _python_tools(settings),
    )


async def _python_tools(settings: Settings) -> PythonTools | None:
    if not settings.python_tools:
        return None
    memory_bytes = settings.python_tool_memory_mb * 1024 * 1024
    return await python_tools(memory_bytes=memory_bytes, at_once=settings.max_python_tools)


def toolbox_of(directory: ToolDirectory) -> Toolbox:
    """Where runs find the tools of their agents."""
    return directory


def callers_of(shed: Shed, memory: AgentMemory, store: Store) -> Mapping[v1.ToolType.ValueType, Tools]:
    """Who calls tools of which kind."""
    kinds: dict[v1.ToolType.ValueType, Tools] = {
        v1.TOOL_TYPE_BUILT_IN: MemoryTools(memory, StoredMessages(store)),
        v1.TOOL_TYPE_MCP: shed.mcp_servers,
    }
    if shed.python is not None:
        kinds[v1.TOOL_TYPE_PYTHON] = shed.python
    return kinds
