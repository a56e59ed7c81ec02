"""Shows a run while it goes on, and how it ended."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Protocol

import typer

from sendoff import v1
from sendoff.cli import output, wording
from sendoff.cli.asking import ask
from sendoff.cli.exits import ExitCode, of_run
from sendoff.cli.live.screen import LiveScreen
from sendoff.cli.pausing import PausingClient
from sendoff.transcript import Change, Part, Transcript
from sendoff.watching import Entry, WatchOptions

_LONGEST_NOTE = 300


class View(Protocol):
    """Shows the entries of a watch while it is entered."""

    def __enter__(self) -> object: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def show(self, entry: Entry) -> None:
        """Show what the entry brought."""

    def paused(self, pause_s: float) -> None:
        """The connection is lost; it is tried again after a pause."""


def follow(
    client: PausingClient, run_id: str, options: WatchOptions, *, as_json: bool = False, plain: bool = False
) -> None:
    """Watch a run to its end and exit as it ended. Ctrl-C stops the watch, not the run, and says how to go on.

    On a terminal that is a live view, unless it is to be `plain`.
    """
    seen, seen_in = options.get("after_sequence", 0), run_id
    ended: v1.Run | None = None
    try:
        with _view(as_json=as_json, plain=plain) as view, closing(client.watch(run_id, **options)) as watch:
            client.on_pause = view.paused
            for entry in watch:
                view.show(entry)
                if isinstance(entry, v1.RunEvent):
                    seen, seen_in = entry.sequence, entry.run_id
                    ended = entry.finished.run if entry.HasField("finished") else None
    except KeyboardInterrupt as stop:
        output.note(f"The run goes on. To watch it again: sendoff watch {seen_in} --from {seen}")
        raise typer.Exit(ExitCode.INTERRUPTED) from stop
    finally:
        client.on_pause = None
    if ended is None or ended.pending_actions:
        # A watch from behind the last event is not told of it, and what was pending then may have an answer by now.
        ended = client.get_run(seen_in)
    if as_json or options.get("follow_continuations"):
        conclude(ended)
    if (continuation := ask(client, ended)) is not None:
        follow(client, continuation.id, {"include_deltas": options.get("include_deltas", False)}, plain=plain)
    conclude(ended)


@contextmanager
def _view(*, as_json: bool, plain: bool) -> Iterator[View]:
    live = output.is_terminal() and not plain
    with Lines() if as_json else LiveScreen() if live else Screen() as view:
        yield view


def conclude(run: v1.Run) -> None:
    """Say how a run ended, and exit accordingly."""
    output.note(wording.summary(run))
    raise typer.Exit(of_run(run))


class Lines:
    """Each entry as a line of JSON on stdout."""

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """All is written."""

    def show(self, entry: Entry) -> None:
        """Write the entry as a frame of WatchRun."""
        output.line(_frame(entry))

    def paused(self, pause_s: float) -> None:
        """Nothing to write: what follows joins on to what was written."""


class Screen:
    """The agent's words on stdout, as they come; its reasoning and its doings on stderr."""

    def __init__(self) -> None:
        self._transcript = Transcript()
        self._part: Part | None = None
        """The part whose text stands at the end of the line that is being written."""
        self._is_cut_off = False

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end_line()

    def show(self, entry: Entry) -> None:
        """Show what the entry brought."""
        self._is_cut_off = False
        for change in self._transcript.apply(entry):
            self._show_change(change)
        if isinstance(entry, v1.RunEvent):
            self._show_event(entry)

    def paused(self, pause_s: float) -> None:
        """Say once that the connection is lost."""
        if not self._is_cut_off:
            self._is_cut_off = True
            if self._part is not None and (self._part.kind != "text" or sys.stdout.isatty()):
                self.end_line()  # but into a pipe goes the answer as it is
            output.note("(the connection is lost; trying again)")

    def end_line(self) -> None:
        """What comes next begins on a line of its own."""
        if self._part is not None:
            self._write(self._part, "\n")
            self._part = None

    def _show_change(self, change: Change) -> None:
        part = change.part
        if part.kind == "tool_arguments":
            return  # told as a whole, with the tool's name
        if part is not self._part or change.rewritten:
            self.end_line()
        if change.rewritten:
            output.note("(what was written above is taken back)")
        if change.added:
            self._part = part
            self._write(part, change.added)

    def _write(self, part: Part, text: str) -> None:
        if part.kind == "text":
            output.write(text)
        else:
            output.note(text, end="")

    def _show_event(self, event: v1.RunEvent) -> None:
        if told := _note(event):
            self.end_line()
            output.note(told[:_LONGEST_NOTE] + "…" * (len(told) > _LONGEST_NOTE))


def _note(event: v1.RunEvent) -> str:
    """What to say about an event beside the texts; empty: nothing."""
    match event.WhichOneof("event"):
        case "state_changed":
            return _state_note(event.state_changed)
        case "message":
            kind, text = wording.message(event.message)
            return f"{kind}: {output.one_line(text)}" if kind in ("tool call", "tool return", "asks") else ""
        case "message_retracted":
            return f"retracted: {event.message_retracted.reason}"
        case "action_required":
            return f"waits for an answer to {wording.tool_call(event.action_required.call)}"
        case _:
            return ""


def _state_note(changed: v1.RunStateChanged) -> str:
    if waits_for := wording.wait(changed.wait):
        return f"waits: {waits_for}"
    if changed.phase in (v1.RunPhase.RUN_PHASE_RECOVERING, v1.RunPhase.RUN_PHASE_CANCELLING):
        return wording.phase(changed.phase)
    return ""


def _frame(entry: Entry) -> v1.WatchRunResponse:
    if isinstance(entry, v1.RunEvent):
        return v1.WatchRunResponse(event=entry)
    if isinstance(entry, v1.MessageDelta):
        return v1.WatchRunResponse(delta=entry)
    return v1.WatchRunResponse(snapshot=entry)
