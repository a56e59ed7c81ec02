"""How far a run is, in the words of its log: what the status line says. Draws nothing, and asks no clock."""

from __future__ import annotations

from sendoff import v1
from sendoff.cli import wording
from sendoff.watching import Entry

_DOINGS = {
    v1.RUN_PHASE_SCHEDULED: "waits for its start time",
    v1.RUN_PHASE_QUEUED: "waits for a free slot",
    v1.RUN_PHASE_BLOCKED: "waits for its turn",
    v1.RUN_PHASE_EXECUTING_TOOL: "runs tools",
    v1.RUN_PHASE_BACKING_OFF: "the model does not answer; waits to call it again",
    v1.RUN_PHASE_CANCELLING: "is being cancelled",
    v1.RUN_PHASE_RECOVERING: "its server is gone; another one takes over",
    v1.RUN_PHASE_COMPACTING: "summarizes older messages",
}
_WRITES = {"text": "writes", "reasoning": "thinks", "tool_arguments": "writes a tool call"}


class Progress:
    """Takes the entries of a watch in their order."""

    def __init__(self) -> None:
        self.began_s: float | None = None
        """When the first run that was told of was accepted, in seconds since 1970. None: not known yet."""
        self.latest_s = 0.0
        """When the newest event happened."""
        self._run_id = ""
        self._changed = v1.RunStateChanged()
        self._model = ""
        self._writes = ""
        self._calls: dict[str, str] = {}
        """Tools that work on a call, by the call's id."""
        self._waits_for_answers = False
        self._steps = 0
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._cost_microusd = 0

    def apply(self, entry: Entry) -> None:
        """Take in an entry."""
        if isinstance(entry, v1.RunEvent):
            self._note_event(entry)
        elif isinstance(entry, v1.MessageDelta):
            self._writes = _WRITES.get(entry.WhichOneof("delta") or "", "writes")
        else:
            self._note_snapshot(entry)

    def parts(self, now_s: float) -> list[str]:
        """What there is to say, the most important first: its doing, how long it goes on, steps, tokens, cost, run."""
        tokens = f"{self._prompt_tokens:,} in, {self._completion_tokens:,} out"
        told = (
            self.doing,
            elapsed(self.elapsed_s(now_s)),
            f"step {self._steps}" if self._steps else "",
            tokens if self._prompt_tokens or self._completion_tokens else "",
            f"${self._cost_microusd / 1e6:.4f}" if self._cost_microusd else "",
            self._run_id,
        )
        return [each for each in told if each]

    def elapsed_s(self, now_s: float) -> float:
        """Since it was accepted. The clock of this machine may be behind that of the server's."""
        return max(now_s, self.latest_s) - self.began_s if self.began_s is not None else 0.0

    @property
    def doing(self) -> str:
        """What the run does now."""
        if self._waits_for_answers:
            return "waits for an answer"
        if self._calls:
            return f"runs {', '.join(self._calls.values())}"
        if self._changed.phase == v1.RUN_PHASE_CALLING_MODEL:
            return self._writes or (f"calls {self._model}" if self._model else "calls the model")
        doing = _DOINGS.get(self._changed.phase) or wording.phase(self._changed.phase) or "is awaited"
        waits = wording.wait(self._changed.wait)
        return f"{doing}: {waits}" if waits else doing

    def _note_event(self, event: v1.RunEvent) -> None:
        self._run_id = event.run_id
        self.latest_s = event.event_time.ToNanoseconds() / 1e9
        if self.began_s is None and self.latest_s:
            self.began_s = self.latest_s
        match event.WhichOneof("event"):
            case "state_changed":
                self._changed = event.state_changed
                self._waits_for_answers = False
            case "step_started":
                self._model, self._writes = event.step_started.model_handle, ""
                self._steps += 1
            case "step_finished":
                self._writes = ""
                self._add(event.step_finished.usage)
            case "tool_call_started":
                self._calls[event.tool_call_started.tool_call_id] = event.tool_call_started.name
            case "tool_call_finished":
                self._calls.pop(event.tool_call_finished.tool_return.tool_call_id, None)
            case "action_required":
                self._waits_for_answers = True
            case "message_retracted" | "finished":
                self._writes = ""
                self._calls.clear()

    def _note_snapshot(self, snapshot: v1.RunSnapshot) -> None:
        run = snapshot.run
        self._run_id, self._steps = run.id, run.usage.step_count
        self._changed = v1.RunStateChanged(status=run.status, phase=run.phase, wait=run.wait)
        self.began_s = run.create_time.ToNanoseconds() / 1e9
        self._waits_for_answers = bool(run.pending_actions)
        self._add(run.usage)

    def _add(self, usage: v1.Usage) -> None:
        self._prompt_tokens += usage.prompt_tokens
        self._completion_tokens += usage.completion_tokens
        self._cost_microusd += usage.cost_microusd


def elapsed(seconds: float) -> str:
    """As 3.2 s, 1:05 or 2:01:05."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
