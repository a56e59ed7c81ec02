"""All that callers can do, as the doors are handed it."""

from __future__ import annotations

from dataclasses import dataclass

from sendoff_server.agents.conversation_service import ConversationService
from sendoff_server.agents.file_service import FileService
from sendoff_server.agents.service import AgentService
from sendoff_server.audit.service import AuditService
from sendoff_server.audit.trail import Trail
from sendoff_server.callbacks.service import CallbackService
from sendoff_server.memory.service import BlockService
from sendoff_server.models.port import Catalogue
from sendoff_server.runs.action_service import ActionService
from sendoff_server.runs.dispatch_service import DispatchService
from sendoff_server.runs.queue_stats import QueueStats
from sendoff_server.runs.service import RunService
from sendoff_server.runs.step_service import StepService
from sendoff_server.server_info import ServerInfo
from sendoff_server.toolbox.service import ToolService


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """One service of the program for each service of the contract."""

    runs: RunService
    actions: ActionService
    steps: StepService
    agents: AgentService
    conversations: ConversationService
    blocks: BlockService
    callbacks: CallbackService
    tools: ToolService
    files: FileService
    models: Catalogue
    queue: QueueStats
    dispatch: DispatchService
    audit: AuditService
    info: ServerInfo
    trail: Trail | None = None
    """Where the doors leave entries of who did what. None: nowhere."""

    def drain(self, lasts_s: float = 0.0) -> None:
        """Accept nothing from now on, and have those who wait or watch end. Runs under way have so long to end, and
        so have callers who wait for their answers."""
        self.runs.drain(lasts_s)
        self.actions.drain()
        self.callbacks.pulling.drain()

    def shed_watchers(self) -> None:
        """Have streams end that can be gone on with elsewhere or later. New ones are not refused by this."""
        self.runs.shed_watchers()
        self.callbacks.pulling.shed()

    def stop(self) -> None:
        """Have those callers end too."""
        self.runs.stop()
