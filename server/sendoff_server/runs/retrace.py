"""What a run has done, told by its log: the memo from which a run goes on, in this process or in the next.

Pure. The recorder folds each event that it drafts; after a crash the whole log is folded again, with the same result.
"""

from __future__ import annotations

from collections.abc import Iterable

from sendoff import v1
from sendoff_server.body import Done, Made, OpenAnswer
from sendoff_server.clock import nanoseconds
from sendoff_server.lifecycle import place_of, text_of
from sendoff_server.store.port import INPUT_PLACE

_REMEMBERED = 64
"""Characters of a return that are kept of all but the newest: enough to know what kind of return it was."""


def fold(done: Done, event: v1.RunEvent) -> None:
    """Add what the next event of the log tells."""
    match event.WhichOneof("event"):
        case "step_started":
            done.asking = event
        case "message":
            _fold_entry(done, event.message)
        case "message_retracted":
            done.asking = None
        case "tool_call_started":
            done.started[event.tool_call_started.tool_call_id] = event.tool_call_started
        case "tool_call_finished":
            returned = event.tool_call_finished.tool_return
            done.finished[returned.tool_call_id] = returned
        case "state_changed" if event.state_changed.phase == v1.RUN_PHASE_RECOVERING:
            done.recoveries.append(nanoseconds(event.event_time))
        case "step_finished":
            done.steps += 1
            done.asking = None
        case _:
            pass


def _fold_entry(done: Done, entry: v1.Message) -> None:
    if entry.HasField("context_start"):
        done.entries = [each for each in done.entries if each.position >= entry.context_start]
    done.entries.append(entry)
    kind = entry.WhichOneof("kind")
    if kind in ("approval_response_message", "tool_return_message") and place_of(entry) < INPUT_PLACE:
        done.has_settled = True
    elif not entry.HasField("step_id"):
        done.has_input = True
        return
    match kind:
        case "tool_call_message":
            calls = entry.tool_call_message.tool_calls
            done.open = OpenAnswer(entry.step_id, entry.position, calls)
            _answered(done, calls)
        case "approval_request_message":
            done.open = None  # not in this run
            _answered(done, entry.approval_request_message.tool_calls)
        case "tool_return_message":
            _returned(done, entry.tool_return_message.tool_returns)
        case "assistant_message" | "reasoning_message" | "hidden_reasoning_message":
            _answered(done, ())
        case "user_message":
            done.nudged = not entry.HasField("context_start") and done.answered
        case _:
            pass


def _answered(done: Done, calls: Iterable[v1.ToolCall]) -> None:
    done.answered = True
    done.nudged = False
    done.asking = None
    done.call_ids.update(call.tool_call_id for call in calls)


def _returned(done: Done, returns: Iterable[v1.ToolReturn]) -> None:
    for made in done.made:
        made.output = made.output[:_REMEMBERED]
    names = {call.tool_call_id: call.name for call in done.open.calls} if done.open else {}
    done.made += [
        Made(each.tool_call_id, names.get(each.tool_call_id, ""), text_of(each.tool_return)) for each in returns
    ]
    done.open = None
