"""The live view of a run: what the agent writes and does, and below it a line that says how far it is.

Full rows are printed for good, so that the terminal scrolls and keeps them; only the row that is being written and the
status line are drawn again and again. A thread of rich's own draws, the one that watches changes what is drawn:
each value that it reads is replaced in one step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, ConsoleRenderable, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from sendoff import v1
from sendoff.cli import events, output
from sendoff.cli.live import drawing
from sendoff.cli.live.progress import Progress
from sendoff.transcript import Change, Part, Transcript
from sendoff.watching import Entry

_FRAMES_PER_S = 8


class LiveScreen:
    """Shows the entries of a watch as long as it is entered. What was shown stays on the terminal."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.time) -> None:
        self._console = console or Console(highlight=False)
        self._clock = clock
        self._progress = Progress()
        self._transcript = Transcript()
        self._part: Part | None = None
        """The part whose text stands in the line that is being written."""
        self._line = ""
        self._cut_off_s: float | None = None
        """Since when no server answers."""
        self._calls: dict[str, str] = {}
        self._durations_ns: dict[str, int] = {}
        self._spinner = Spinner("dots" if self._console.encoding.startswith("utf") else "line", style="cyan")
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=_FRAMES_PER_S,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end_line()
        self._live.stop()

    def show(self, entry: Entry) -> None:
        """Show what the entry brought."""
        if self._cut_off_s is not None:
            self._cut_off_s = None
            self._print(drawing.aside("(connected again)"))
        self._progress.apply(entry)
        changes = self._transcript.apply(entry)
        if any(change.rewritten for change in changes):
            self._take_back(entry)
        for change in changes:
            self._show_change(change)
        if isinstance(entry, v1.RunEvent):
            self._show_event(entry)

    def paused(self, _pause_s: float) -> None:
        """No server answers; it is tried again after a pause."""
        if self._cut_off_s is None:
            self._cut_off_s = self._clock()
            self.end_line()
            self._print(drawing.aside("(the connection is lost; trying again)"))

    def end_line(self) -> None:
        """What comes next begins on a line of its own."""
        if self._line:
            line, self._line = self._line, ""
            self._print(self._styled(line))
        self._part = None

    def _take_back(self, entry: Entry) -> None:
        reason = entry.message_retracted.reason if isinstance(entry, v1.RunEvent) else ""
        why = f": {reason.lower().replace('_', ' ')}" if reason else ""
        self._put(drawing.aside(f"(what was written above is taken back{why})"))

    def _show_change(self, change: Change) -> None:
        part = change.part
        if part.kind == "tool_arguments":
            return  # drawn as a whole, with the tool's name
        if part is not self._part:
            self.end_line()
        if change.added:
            self._part = part
            self._write(change.added)

    def _write(self, added: str) -> None:
        whole, newline, rest = (self._line + output.harmless(added)).rpartition("\n")
        full = [whole] if newline else []
        if rest:
            *rows, last = self._styled(rest).wrap(self._console, self._console.width)
            full.extend(row.plain for row in rows)
            rest = last.plain.rstrip() + rest[len(rest.rstrip()) :]  # wrapping drops spaces at the end of a full row
        self._line = ""  # before it is printed for good, so that it never stands there twice
        for row in full:
            self._print(self._styled(row))
        self._line = rest

    def _show_event(self, event: v1.RunEvent) -> None:
        match event.WhichOneof("event"):
            case "message":
                self._show_message(event.message)
            case "tool_call_finished":
                finished = event.tool_call_finished
                self._durations_ns[finished.tool_return.tool_call_id] = finished.duration_ns
            case "action_required":
                self._put(drawing.action(event.action_required))
            case "action_resolved":
                self._put(drawing.aside(f"answered: {events.decision(event.action_resolved)}"))
            case "state_changed" if event.state_changed.phase == v1.RUN_PHASE_RECOVERING:
                self._put(drawing.aside("(the server that worked on it is gone; another one takes over)"))

    def _show_message(self, message: v1.Message) -> None:
        if message.HasField("tool_return_message"):
            returns = message.tool_return_message.tool_returns
            for each in returns:
                name = self._calls.get(each.tool_call_id, "") if len(returns) > 1 else ""
                self._put(*drawing.tool_return(each, name, self._durations_ns.pop(each.tool_call_id, None)))
            return
        for call in (*message.tool_call_message.tool_calls, *message.approval_request_message.tool_calls):
            self._calls[call.tool_call_id] = call.name
            self._put(drawing.tool_call(call))

    def _put(self, *lines: Text) -> None:
        self.end_line()
        for line in lines:
            self._print(line)

    def _print(self, line: Text) -> None:
        self._console.print(line)

    def _styled(self, text: str) -> Text:
        return Text(text, style=drawing.STYLES[self._part.kind] if self._part else "")

    # ---- drawn by the thread of rich ----

    def _draw(self) -> ConsoleRenderable:
        status = self._status(self._console.width - 3)
        line = self._line
        return Group(self._styled(line), status) if line else status

    def _status(self, width: int) -> ConsoleRenderable:
        row = Table.grid(padding=(0, 1))
        now_s = self._clock()
        if self._cut_off_s is None:
            told = drawing.status(self._progress.parts(now_s), width)
        else:
            told = Text(f"no server answers for {now_s - self._cut_off_s:.0f} s; trying again", style="yellow")
            told.truncate(width, overflow="ellipsis")
        row.add_row(self._spinner, told)
        return row
