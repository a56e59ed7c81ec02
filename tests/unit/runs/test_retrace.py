"""A run's log tells what the run has done: made by hypothesis, folded, and compared with what was put into it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.body import Done
from sendoff_server.lifecycle import NUDGE_PLACE, RETURN_PLACE, output_position
from sendoff_server.runs.retrace import fold

SEQ = 3 << 10


@dataclass
class Story:
    """A log that grows, and what must be so after each event."""

    events: list[v1.RunEvent] = field(default_factory=list)
    steps: int = 0
    asking: str = ""
    waiting: list[str] = field(default_factory=list)
    """Calls without a return."""
    returned: list[tuple[str, str]] = field(default_factory=list)
    started: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    answered: bool = False
    nudged: bool = False

    def tell(self, **arm: object) -> None:
        self.events.append(v1.RunEvent(step_id=f"step-{self.steps}", **arm))  # type: ignore[arg-type]  # one arm

    def entry(self, place: int, **kind: object) -> None:
        position = output_position(SEQ, self.steps, place)
        self.tell(message=v1.Message(position=position, step_id=f"step-{self.steps}", **kind))  # type: ignore[arg-type]


def say(draw: st.DrawFn, story: Story) -> bool:
    """One step; False if it stops in the middle."""
    for attempt in range(draw(st.integers(1, 2))):
        story.tell(step_started=v1.StepStarted(message_id=f"{story.steps}-{attempt}", index=story.steps))
        story.asking = f"{story.steps}-{attempt}"
        if draw(st.booleans()) and attempt == 0:
            story.tell(message_retracted=v1.MessageRetracted(message_id=story.asking))
            story.asking = ""
    if not story.asking or draw(st.booleans()):
        return False
    names = draw(st.lists(st.sampled_from(["look", "book"]), max_size=3))
    calls = [v1.ToolCall(tool_call_id=f"call-{story.steps}-{n}", name=name) for n, name in enumerate(names)]
    story.answered, story.nudged, story.asking = True, False, ""
    if not calls:
        story.entry(0, assistant_message=v1.AssistantMessage(content=v1.Content(text="So.")))
        story.entry(NUDGE_PLACE, user_message=v1.UserMessage(content=v1.Content(text="Go on.")))
        story.nudged = True
    else:
        story.entry(1, tool_call_message=v1.ToolCallMessage(tool_calls=calls))
        story.waiting = [call.tool_call_id for call in calls]
        if not call_tools(draw, story, calls):
            return False
    story.tell(step_finished=v1.StepFinished())
    story.steps += 1
    return True


def call_tools(draw: st.DrawFn, story: Story, calls: list[v1.ToolCall]) -> bool:
    for call in calls:
        story.tell(tool_call_started=v1.ToolCallStarted(tool_call_id=call.tool_call_id, name=call.name, attempt=1))
        story.started.add(call.tool_call_id)
    returns = [v1.ToolReturn(tool_call_id=call.tool_call_id, tool_return=v1.Content(text="x")) for call in calls]
    for each in draw(st.permutations(returns)):
        if draw(st.booleans()) and draw(st.booleans()):
            return False
        story.tell(tool_call_finished=v1.ToolCallFinished(tool_return=each))
        story.finished.add(each.tool_call_id)
    story.entry(RETURN_PLACE, tool_return_message=v1.ToolReturnMessage(tool_returns=returns))
    story.waiting = []
    story.returned += [(call.tool_call_id, call.name) for call in calls]
    return True


@st.composite
def stories(draw: st.DrawFn) -> Story:
    story = Story()
    for _ in range(draw(st.integers(0, 5))):
        if not say(draw, story):
            break
    return story


def folded(events: list[v1.RunEvent]) -> Done:
    done = Done()
    for event in events:
        fold(done, event)
    return done


@given(stories())
def test_a_log_tells_what_the_run_has_done(story: Story) -> None:
    done = folded(story.events)
    assert done.steps == story.steps
    assert (done.asking.step_started.message_id if done.asking else "") == story.asking
    assert [call.tool_call_id for call in (done.open.calls if done.open else ())] == story.waiting
    assert [(made.call_id, made.name) for made in done.made] == story.returned
    assert set(done.started) == story.started
    assert set(done.finished) == story.finished
    assert (done.answered, done.nudged) == (story.answered, story.nudged)
    assert done.call_ids == {*story.waiting, *(call_id for call_id, _ in story.returned)}
    assert done.entries == [event.message for event in story.events if event.HasField("message")]


@given(stories(), st.data())
def test_a_log_that_is_read_in_pieces_tells_the_same(story: Story, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(story.events)))
    stored = [v1.RunEvent.FromString(event.SerializeToString()) for event in story.events[:cut]]
    done = folded(stored)
    for event in story.events[cut:]:
        fold(done, event)
    assert done == folded(story.events)


def entry(place: int, **kind: object) -> v1.RunEvent:
    position = (SEQ << 20) + place
    return v1.RunEvent(message=v1.Message(position=position, **kind))  # type: ignore[arg-type]  # one kind


def test_what_settles_earlier_calls_is_told_from_the_input() -> None:
    returned = v1.ToolReturnMessage(tool_returns=[v1.ToolReturn(tool_call_id="a")])
    settling = entry(1, tool_return_message=returned, step_id="step-of-another-run")
    asked = entry(8, user_message=v1.UserMessage())
    done = folded([entry(0, approval_response_message=v1.ApprovalResponseMessage()), settling])
    assert (done.has_settled, done.has_input, done.steps, done.open) == (True, False, 0, None)
    assert [(made.call_id, made.name) for made in done.made] == [("a", "")]
    done = folded([asked])
    assert (done.has_settled, done.has_input) == (False, True)


def test_a_compaction_of_its_own_leaves_the_beginning_behind() -> None:
    first, kept = (
        entry(8, user_message=v1.UserMessage()),
        entry(1024, tool_call_message=v1.ToolCallMessage(), step_id="s"),
    )
    summary = entry(2040, user_message=v1.UserMessage(), step_id="s", context_start=kept.message.position)
    done = folded([first, kept, summary])
    assert done.entries == [kept.message, summary.message]
    assert done.has_input
    assert not done.nudged


def test_calls_that_wait_for_somebody_are_not_called_in_this_run() -> None:
    call = v1.ToolCall(tool_call_id="a", name="look")
    calls = entry(1025, tool_call_message=v1.ToolCallMessage(tool_calls=[call]), step_id="s")
    held = v1.ToolCall(tool_call_id="b", name="book")
    asks = entry(2024, approval_request_message=v1.ApprovalRequestMessage(tool_calls=[held]), step_id="s")
    done = folded([calls, asks])
    assert done.open is None
    assert done.call_ids == {"a", "b"}
