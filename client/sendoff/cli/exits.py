"""What a script learns from the exit code, and a person from the last line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer

from sendoff import errors, v1
from sendoff.cli import output


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    CONFLICT = 5
    UNAVAILABLE = 6
    TIMEOUT = 7
    RUN_CANCELLED = 8
    SERVER_FAULT = 9
    RUN_WAITS = 10
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "it worked; a run that was followed has completed",
    ExitCode.RUN_FAILED: "the run failed; `health`: not serving; `callbacks test`: it did not arrive",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.NOT_FOUND: "no such agent, run, conversation, tool, endpoint or the like",
    ExitCode.REFUSED: "the request is invalid, not supported or not allowed",
    ExitCode.CONFLICT: "the conversation is busy or waits, the request_id is taken, or the like",
    ExitCode.UNAVAILABLE: "no server answers, or it has no room; try again",
    ExitCode.TIMEOUT: "no answer in time; the run, if any, goes on",
    ExitCode.RUN_CANCELLED: "the run was cancelled",
    ExitCode.SERVER_FAULT: "a fault of the server",
    ExitCode.RUN_WAITS: "the run has stopped for an answer; see `sendoff actions`",
    ExitCode.INTERRUPTED: "interrupted; the run, if any, goes on",
}

_BY_ERROR: tuple[tuple[type[errors.SendoffError], ExitCode], ...] = (
    (errors.NotFound, ExitCode.NOT_FOUND),
    (errors.Refused, ExitCode.REFUSED),
    (errors.Conflict, ExitCode.CONFLICT),
    (errors.NotNow, ExitCode.UNAVAILABLE),
    (errors.DeadlineExceeded, ExitCode.TIMEOUT),
)

_BY_STATUS = {
    v1.RunStatus.RUN_STATUS_COMPLETED: ExitCode.OK,
    v1.RunStatus.RUN_STATUS_FAILED: ExitCode.RUN_FAILED,
    v1.RunStatus.RUN_STATUS_CANCELLED: ExitCode.RUN_CANCELLED,
}


def of_error(error: errors.SendoffError) -> ExitCode:
    """The exit code that tells of this error."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.SERVER_FAULT)


def of_run(run: v1.Run) -> ExitCode:
    """The exit code that tells how the run stands; one that has not ended was not waited for long enough."""
    if run.pending_actions:
        return ExitCode.RUN_WAITS
    return _BY_STATUS.get(run.status, ExitCode.TIMEOUT)


@contextmanager
def reporting() -> Iterator[None]:
    """Turn errors and Ctrl-C inside the block into a line on stderr and an exit code."""
    try:
        yield
    except errors.SendoffError as error:
        output.complain(error.message)
        raise typer.Exit(of_error(error)) from error
    except KeyboardInterrupt as stop:
        raise typer.Exit(ExitCode.INTERRUPTED) from stop


def help_text() -> str:
    """The table of exit codes for `--help`."""
    rows = (f"{int(code):>3}  {meaning}" for code, meaning in MEANINGS.items())
    return "\n".join(("\b\nExit codes:", *rows))  # \b: as it stands, not filled up
