"""What a person sees of a run that is watched on a terminal."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.text import Text

from sendoff import methods, v1
from sendoff.cli.live import drawing
from sendoff.cli.live.progress import Progress, elapsed
from sendoff.cli.live.screen import LiveScreen
from sendoff.watching import Entry
from tests.unit.client.commanding import finished
from tests.unit.client.logs import delta, frames, said
from tests.unit.client.scripted_server import RUN_ID, UNAVAILABLE, ScriptedServer

BEGAN_S = 1_700_000_000
CALL = v1.ToolCall(
    tool_call_id="1", name="weather", arguments='{"city": "Ulm", "days": 3}', arguments_are_valid_json=True
)


def event(sequence: int, **what: object) -> v1.RunEvent:
    return v1.RunEvent(run_id=RUN_ID, sequence=sequence, event_time=Timestamp(seconds=BEGAN_S + sequence), **what)  # type: ignore[arg-type]


def calling(sequence: int = 1) -> v1.RunEvent:
    state = v1.RunStateChanged(status=v1.RUN_STATUS_RUNNING, phase=v1.RUN_PHASE_CALLING_MODEL)
    return event(sequence, state_changed=state)


def doing(*entries: Entry) -> str:
    return progress(*entries).doing


def progress(*entries: Entry) -> Progress:
    made = Progress()
    for entry in entries:
        made.apply(entry)
    return made


class Terminal:
    """A terminal of a certain width, and the live view on it."""

    def __init__(self, width: int = 60) -> None:
        self.drawn = io.StringIO()
        self.now_s = BEGAN_S + 100.0
        console = Console(
            file=self.drawn, force_terminal=True, width=width, height=20, color_system=None, highlight=False
        )
        self.screen = LiveScreen(console, clock=lambda: self.now_s)

    def shown(self, *entries: Entry, also: Callable[[LiveScreen], None] | None = None) -> list[str]:
        """The rows that stay, once all entries were shown; what is drawn over is left out."""
        with self.screen as screen:
            for entry in entries:
                screen.show(entry)
            if also is not None:
                also(screen)
        return settled(self.drawn.getvalue())


def settled(written: str) -> list[str]:
    """What stays on a terminal of what was written there, by the sequences that rich uses."""
    rows, row = [""], 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if piece == "\n":
            row += 1
            rows.extend([""] * (row + 1 - len(rows)))
        elif piece.endswith("A") and piece.startswith("\x1b"):
            row -= int(piece[2:-1] or 1)
        elif piece == "\x1b[2K":
            rows[row] = ""
        elif not piece.startswith("\x1b") and piece != "\r":
            rows[row] += piece
    return [each.rstrip() for each in rows if each.strip()]


def test_the_status_says_what_the_run_does() -> None:
    blocked = v1.RunStateChanged(
        phase=v1.RUN_PHASE_BLOCKED, wait=v1.WaitInfo(reason="CONVERSATION_BUSY", blocking_run_id="run-0")
    )
    step = event(2, step_started=v1.StepStarted(model_handle="a/b"))
    begun = event(3, tool_call_started=v1.ToolCallStarted(tool_call_id="1", name="weather"))
    done = event(4, tool_call_finished=v1.ToolCallFinished(tool_return=v1.ToolReturn(tool_call_id="1")))

    assert doing() == "is awaited"
    assert doing(event(1, state_changed=blocked)) == "waits for its turn: conversation busy behind run-0"
    assert doing(calling(), step) == "calls a/b"
    assert doing(calling(), step, v1.MessageDelta(reasoning="x")) == "thinks"
    assert doing(calling(), step, v1.MessageDelta(text="x")) == "writes"
    assert doing(calling(), step, begun) == "runs weather"
    assert doing(calling(), step, begun, done) == "calls a/b"
    assert doing(calling(), event(2, action_required=v1.PendingAction())) == "waits for an answer"


def test_the_status_counts_steps_tokens_cost_and_time() -> None:
    usage = v1.Usage(prompt_tokens=1_000, completion_tokens=20, cost_microusd=1_500)
    one = [event(n, step_started=v1.StepStarted()) for n in (2, 4)]
    two = [event(n, step_finished=v1.StepFinished(usage=usage)) for n in (3, 5)]

    told = progress(calling(), *one, *two).parts(BEGAN_S + 63.0)

    assert told == ["calls the model", "1:02", "step 2", "2,000 in, 40 out", "$0.0030", RUN_ID]


def test_a_clock_that_is_behind_that_of_the_server_does_no_harm() -> None:
    assert progress(calling(1), event(5)).elapsed_s(BEGAN_S - 1_000.0) == 4.0


@pytest.mark.parametrize(("seconds", "told"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1:00"), (3_725, "1:02:05")])
def test_spans_are_told_as_people_read_them(seconds: float, told: str) -> None:
    assert elapsed(seconds) == told


@pytest.mark.parametrize("width", [10, 24, 40, 200])
def test_the_status_fits_into_a_narrow_terminal(width: int) -> None:
    parts = ["calls some/model", "3.2 s", "step 1", "1,000 in, 20 out", RUN_ID]

    drawn = drawing.status(parts, width)
    rows = drawn.wrap(Console(width=width), width)

    assert len(rows) == 1
    assert str(rows[0]).startswith("calls so")
    assert (RUN_ID in drawn.plain) == (width == 200)
    assert ("3.2 s" in drawn.plain) == (width >= 24)


def test_what_the_agent_writes_stays_and_the_status_goes() -> None:
    final = event(3, message=said("m", "Hello there"))

    rows = Terminal().shown(calling(), delta("m", "Hel"), delta("m", "lo", offset=3), final, finished(4))

    assert rows == ["Hello there"]


def test_a_text_is_wrapped_between_words_and_loses_nothing() -> None:
    text = "".join(f"word{n} " * (n % 3 + 1) for n in range(60)) + "\n\n  indented\nend"
    pieces = [delta("m", text[at : at + 5], offset=at) for at in range(0, len(text), 5)]

    rows = Terminal(width=33).shown(*pieces)

    assert " ".join(rows).split() == text.split()
    assert all(len(row) <= 33 for row in rows)
    assert rows[-2:] == ["  indented", "end"]


def test_tools_are_shown_with_arguments_results_and_time() -> None:
    calls = v1.Message(id="m", tool_call_message=v1.ToolCallMessage(tool_calls=[CALL]))
    returned = v1.ToolReturn(tool_call_id="1", tool_return=v1.Content(text="sunny\nand warm"))
    done = v1.ToolCallFinished(tool_return=returned, duration_ns=320_000_000)
    returns = v1.Message(id="r", tool_return_message=v1.ToolReturnMessage(tool_returns=[returned]))

    rows = Terminal().shown(event(1, message=calls), event(2, tool_call_finished=done), event(3, message=returns))

    assert rows == ['● weather(city="Ulm", days=3)', "  ↳ sunny  (0.32 s)", "    and warm"]


def test_results_of_several_tools_are_named_and_failures_stand_out() -> None:
    other = v1.ToolCall(tool_call_id="2", name="news", arguments="{}")
    calls = v1.Message(id="m", tool_call_message=v1.ToolCallMessage(tool_calls=[CALL, other]))
    failed = v1.ToolReturn(tool_call_id="1", status=v1.TOOL_RETURN_STATUS_ERROR, tool_return=v1.Content(text="no"))
    many = v1.ToolReturn(tool_call_id="2", tool_return=v1.Content(text="\n".join("abcdefghijkl")))
    returns = v1.Message(id="r", tool_return_message=v1.ToolReturnMessage(tool_returns=[failed, many]))

    rows = Terminal().shown(event(1, message=calls), event(2, message=returns))

    assert rows[2:4] == ["  ✗ weather: no", "  ↳ news: a"]
    assert rows[-2:] == ["    h", "    … 4 more lines"]


def test_what_is_asked_for_and_answered_is_shown() -> None:
    asked = v1.PendingAction(kind=v1.ACTION_KIND_APPROVAL, call=CALL, expire_time=Timestamp(seconds=BEGAN_S))
    yes = v1.ActionDecision(approval=v1.Approval(approve=True, reason="fine"))
    resolved = v1.ActionResolved(decision=yes, resolved_by="caller")

    rows = Terminal().shown(event(1, action_required=asked), event(2, action_resolved=resolved))

    assert rows == ["? approval: weather, until 2023-11-14 22:13:20Z", "answered: yes by caller: fine"]


def test_a_lost_connection_is_told_of_once_and_so_is_its_return() -> None:
    terminal = Terminal()

    def lose(screen: LiveScreen) -> None:
        screen.paused(0.2)
        terminal.now_s += 7
        screen.paused(0.4)
        screen._live.refresh()
        screen.show(delta("m", "lo", offset=3))

    rows = terminal.shown(delta("m", "Hel"), also=lose)

    assert rows == ["Hel", "(the connection is lost; trying again)", "(connected again)", "lo"]
    assert "no server answers for 7 s; trying again" in terminal.drawn.getvalue()


def test_what_is_taken_back_is_said_with_its_reason() -> None:
    retracted = v1.MessageRetracted(message_id="m", reason="SERVER_RESTARTED")

    rows = Terminal().shown(
        v1.MessageDelta(message_id="m", reasoning="I think"),
        v1.MessageDelta(message_id="m", part_index=1, text="Hel"),
        event(1, message_retracted=retracted),
        delta("n", "Good day"),
    )

    assert rows == ["I think", "Hel", "(what was written above is taken back: server restarted)", "Good day"]


def test_what_a_model_writes_does_not_steer_the_terminal() -> None:
    bad = "a\x1b[2Jb\x9b1A[bold]c"
    call = v1.ToolCall(tool_call_id="1", name=bad, arguments=f'{{"{bad[0]}": "x"}}')
    calls = v1.Message(id="c", tool_call_message=v1.ToolCallMessage(tool_calls=[call]))
    returned = v1.ToolReturn(tool_call_id="1", tool_return=v1.Content(text=bad))
    returns = v1.Message(id="r", tool_return_message=v1.ToolReturnMessage(tool_returns=[returned]))
    begun = event(3, tool_call_started=v1.ToolCallStarted(tool_call_id="2", name=bad))
    terminal = Terminal()

    rows = terminal.shown(delta("m", bad), event(1, message=calls), event(2, message=returns), begun)

    assert rows[0] == "a\ufffd[2Jb\ufffd1A[bold]c"
    assert "\x1b[2J" not in terminal.drawn.getvalue()
    assert "\x9b" not in terminal.drawn.getvalue()


def test_no_colour_is_shown_to_those_who_want_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="truecolor", width=60)

    console.print(Text.assemble(drawing.tool_call(CALL), *drawing.tool_return(v1.ToolReturn(), "", None)))

    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", file.getvalue())
    assert "weather" in file.getvalue()


@pytest.mark.parametrize("plain", [(), ("--plain",)], ids=["live", "plain"])
async def test_on_a_terminal_the_view_is_live_unless_it_is_to_be_plain(
    server: ScriptedServer, plain: tuple[str, ...]
) -> None:
    server.plan_streams(frames(calling(), delta("m", "Hello"), finished(2)))
    told, code = await on_a_terminal("--address", server.address, "watch", RUN_ID, *plain)

    assert code == 0
    assert "Hello" in told
    assert "completed (end_turn)" in told
    assert ("\x1b[?25l" in told) == (not plain)  # it hides the cursor, and gives it back
    assert told.count("\x1b[?25h") == told.count("\x1b[?25l")


async def test_what_is_under_way_is_shown_until_ctrl_c(server: ScriptedServer) -> None:
    run = v1.Run(id=RUN_ID, status=v1.RUN_STATUS_RUNNING, phase=v1.RUN_PHASE_EXECUTING_TOOL)
    pages = v1.ListRunsResponse(runs=[run]), v1.ListRunsResponse(runs=[run, v1.Run(id="run-2")])
    server.plan(methods.LIST_RUNS, *pages, UNAVAILABLE, *[pages[1]] * 500)

    told, code = await on_a_terminal("--address", server.address, "top", "--interval", "0.2", until="2 under way")

    assert code == 0
    assert f"{RUN_ID}  executing tool" in told
    assert "1 under way" in told
    assert server.requests[0].active


async def on_a_terminal(*words: str, until: str = "") -> tuple[str, int]:
    """What the command writes to a terminal, and its exit code; Ctrl-C is pressed when it has written `until`."""
    mine, its = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sendoff", *words),
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=its,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "160"},
    )
    os.close(its)
    pieces: list[bytes] = []
    pressed = threading.Event()

    def read() -> None:
        try:
            while piece := os.read(mine, 4096):
                pieces.append(piece)
                if until and not pressed.is_set() and until.encode() in b"".join(pieces):
                    pressed.set()
                    process.send_signal(signal.SIGINT)
        except OSError:  # all who could write have closed it
            return

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    async with asyncio.timeout(60):
        code = await process.wait()
    await asyncio.to_thread(reading.join, 10)
    os.close(mine)
    return b"".join(pieces).decode(), code
