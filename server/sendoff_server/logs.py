"""How the process logs: structured lines on standard error, ours and those of libraries alike."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor

_LIBRARIES = logging.WARNING
"""Libraries are heard from this level on, whatever our own level is: below it they tell requests and headers."""


Fields = Callable[[], Mapping[str, object]]
"""What lines that are logged now tell beside their own."""


_server: dict[str, object] = {}
"""Which server this process is; like the configuration of the library, there is one for the process."""


def configure(
    log_format: Literal["console", "json"], log_level: str, *, process: int | None = None, fields: Fields = dict
) -> None:
    """Send every log line of this process to standard error, with which of several it is, and these fields. To be
    called once, by the command line."""
    _server.clear()
    if process is not None:
        _server["process"] = process
    level = logging.getLevelNamesMapping()[log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _telling(fields),
        _telling(lambda: _server),
    ]
    renderers = _renderers(log_format)
    structlog.configure(
        processors=[*shared, structlog.processors.StackInfoRenderer(), *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name], processors=[remove_meta, *renderers]
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, _LIBRARIES), force=True)


def name_replica(replica_id: str) -> None:
    """Have every line from now on tell as whom the store knows this server."""
    _server["replica"] = replica_id


def _telling(fields: Fields) -> Processor:
    def tell(_logger: object, _method: str, event: EventDict) -> EventDict:
        return {**fields(), **event}

    return tell


def _renderers(log_format: Literal["console", "json"]) -> list[Processor]:
    # Tracebacks without local variables in both forms: those may be somebody's messages, or a key.
    if log_format == "json":
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
