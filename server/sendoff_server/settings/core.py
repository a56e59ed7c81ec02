"""Where the server listens, what it keeps and where, how it works."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from sendoff_server.fairness import weights_of
from sendoff_server.networks import is_local, networks_of, ports_of
from sendoff_server.settings.group import Group

_POSTGRES = "postgres(ql)?://"


def _without_secrets(url: str) -> str:
    """Without what may be a password, which may stand in front of the host or among the parameters."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _default_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "sendoff"


class CoreSettings(Group):
    """Where it listens, what it keeps and where, how it works."""

    grpc_address: str = Field(
        "127.0.0.1:50051", description="Where to listen for gRPC, host:port. Port 0 takes a free one."
    )
    http_address: str = Field(
        "127.0.0.1:8283",
        description="Where to listen for REST, host:port. Port 0 takes a free one; `off`: there is no REST door.",
    )
    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="Where the database and the weights of the embedded model are kept; made if it is missing.",
        json_schema_extra={"default": "$XDG_DATA_HOME/sendoff or ~/.local/share/sendoff"},
    )
    database_url: str = Field(
        "",
        description="sqlite:///PATH, for one server; or postgresql://USER:PASSWORD@HOST:PORT/DATABASE, which servers "
        "share; several HOST:PORT with commas between them: the first that takes writes. Empty: sendoff.db in the data "
        "directory.",
        repr=False,
    )
    database_connections: Annotated[int, Field(ge=4, le=1_000)] = Field(
        7,
        description="Most connections of this process to PostgreSQL: one writes, one keeps the leases, one hears of "
        "other servers, the rest is for all else. Those of all servers must fit into its max_connections.",
    )
    default_model: str = Field(
        "", description="Model of an agent that names none, as provider/name. Empty: the embedded model."
    )
    processes: Annotated[int, Field(ge=1, le=128)] = Field(
        1,
        description="How many processes `sendoff-server serve` starts, for as many cores; they share both ports, and a "
        "database on PostgreSQL. What is said of a process or a server is true of each of them.",
    )
    max_running: Annotated[int, Field(ge=1, le=100_000)] = Field(
        500, description="Most runs under way at once in this process; more wait their turn."
    )
    max_running_per_agent: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        0,
        description="Most runs of one agent under way at once, in all servers of the database together; more wait. "
        "0: as many as there are slots. Give all servers the same.",
    )
    max_running_per_tenant: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        0, description="The same for all runs of one tenant together."
    )
    fairness_weights: str = Field(
        "",
        description="How many runs of a fairness key start for one of any other while both wait, as "
        "interactive=3,batch=0.5; 0.001 to 1000. Keys that are not named weigh 1. The same for every tenant.",
    )
    max_queued_per_conversation: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1_000, description="Most runs of one conversation that have not ended; more are refused with QUEUE_FULL."
    )
    max_request_bytes: Annotated[int, Field(ge=1_024, le=256 * 1024 * 1024)] = Field(
        32 * 1024 * 1024, description="Largest request in bytes; larger ones are refused with REQUEST_TOO_LARGE."
    )
    max_http_connections: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        900,
        description="Most connections to the REST door at once, each open stream is one; more are refused with 503. "
        "Keep it below the number of files that the process may open.",
    )
    drain_notice_s: Annotated[float, Field(ge=0, le=600)] = Field(
        0.0,
        description="On SIGTERM, for how many seconds everything is still served while health checks say already that "
        "the server goes. Behind a load balancer longer than that takes to notice; then comes the grace.",
    )
    drain_grace_s: Annotated[float, Field(ge=0)] = Field(
        10.0, description="On SIGTERM, how many seconds runs under way may go on before they are handed back."
    )
    max_stream_age_s: Annotated[float, Field(ge=1)] = Field(
        3_600.0,
        description="After how many seconds a stream of WatchRun or ReceiveDeliveries is ended, to be resumed with the "
        "next.",
    )
    slow_consumer_s: Annotated[float, Field(gt=0)] = Field(
        30.0, description="How many seconds a watcher may leave a frame unread before it is cut with SLOW_CONSUMER."
    )
    allow_approve_on_timeout: bool = Field(
        False, description="Take requests whose calls run unapproved when nobody answers in time."
    )
    model_timeout_s: Annotated[float, Field(gt=0)] = Field(
        300.0, description="How many seconds a model may stay silent before the call is given up and tried again."
    )
    model_retries: Annotated[int, Field(ge=0, le=20)] = Field(
        4, description="How often a model call is repeated after a passing failure, with growing pauses."
    )
    tool_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = Field(
        60.0, description="How many seconds a call of a tool may take that has no limit of its own."
    )
    action_timeout_s: Annotated[float, Field(gt=0, le=31_536_000)] = Field(
        604_800.0,
        description="How many seconds a conversation waits for an approval or a client tool, where a run says nothing.",
    )
    retention_days: Annotated[int, Field(ge=0, le=36_500)] = Field(
        0,
        description="How many days runs are kept once they have ended, with their logs, steps and deliveries, and no "
        "longer if they ask for more; what they said stays in their conversations. 0: for ever. Runs keep the time "
        "that they were accepted with.",
    )
    callback_secret_file: str = Field(
        "",
        description="File of the secrets that sign callbacks, one a line; made with a new one if it is missing. All "
        "replicas need the same. Empty: callback.secret in the data directory.",
    )
    callback_networks: str = Field(
        "",
        description="Networks that callbacks may reach, and pictures be fetched from, although they are not public, as "
        "10.0.0.0/8,fd00::/8; `none`: none. Empty: the loopback if gRPC and REST both listen on it, else none.",
    )
    callback_ports: str = Field(
        "80,443,1024-65535", description="Ports that callbacks may go to, and pictures be fetched from."
    )
    callback_timeout_s: Annotated[float, Field(ge=0.1, le=300)] = Field(
        15.0, description="How many seconds the receiver of a callback may take to answer."
    )
    callback_give_up_s: Annotated[float, Field(ge=0, le=2_592_000)] = Field(
        259_200.0,
        description="For how many seconds a callback is tried again, with growing pauses.",
    )
    max_callbacks: Annotated[int, Field(ge=1, le=10_000)] = Field(
        128,
        description="Most callbacks under way at once in this process: at most 4 of them to one receiver, and half "
        "of them to receivers that fail.",
    )
    max_waiting_callbacks: Annotated[int, Field(ge=1, le=100_000_000)] = Field(
        100_000,
        description="Most callbacks to URLs that requests name that are not delivered; then requests that name one are "
        "refused with OUTBOX_FULL. Callbacks to endpoints do not count.",
    )
    mcp_servers_file: str = Field(
        "", description='JSON file of the MCP servers whose tools agents may call, {"mcpServers": {...}}. Empty: none.'
    )
    sqlite_synchronous: Literal["FULL", "NORMAL"] = Field(
        "FULL",
        description="FULL survives a power cut; NORMAL may lose the last moments then, and is faster on slow disks.",
    )
    scripted_model: bool = Field(
        False, description="Offer scripted/* models that do what the message tells them, for tests and benchmarks."
    )
    python_tools: bool = Field(
        False,
        description="Let callers put tools written in Python, which run here: confined if bubblewrap is installed and "
        "works, else with all that the server's user may do. The log tells which.",
    )
    python_tool_memory_mb: Annotated[int, Field(ge=64, le=1_048_576)] = Field(
        512, description="Most memory of the process of one call of a Python tool, in MiB of address space."
    )
    max_python_tools: Annotated[int, Field(ge=1, le=1_000)] = Field(
        16, description="Most processes of Python tools at once; more calls wait."
    )
    log_format: Literal["console", "json"] = Field("console", description="How log lines look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level to log.")

    @field_validator("grpc_address")
    @classmethod
    def _is_host_and_port(cls, address: str) -> str:
        host, _, port = address.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError("expected host:port, for example 127.0.0.1:50051 or [::1]:50051")
        return address

    @field_validator("http_address")
    @classmethod
    def _is_host_and_port_or_off(cls, address: str) -> str:
        return address if address == "off" else cls._is_host_and_port(address)

    @field_validator("data_dir")
    @classmethod
    def _is_absolute(cls, directory: Path) -> Path:
        return directory.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, url: str) -> str:
        if url and not re.fullmatch(rf"sqlite:///(?!:memory:)[^?#]+|{_POSTGRES}[^\s?#]+(\?[^\s#@]*)?", url):
            raise ValueError(
                "expected sqlite:///relative.db, sqlite:////absolute.db or postgresql://user:password@host:port/database"
            )
        wanted = re.search(r"[?&]target_session_attrs=([^&]*)", url)
        if wanted and wanted[1] not in ("read-write", "primary"):
            raise ValueError("target_session_attrs must be read-write, as it is without, or primary")
        return url

    @field_validator("processes")
    @classmethod
    def _can_share_a_database(cls, processes: int, info: ValidationInfo) -> int:
        url = info.data.get("database_url")  # missing if it is wrong itself
        if processes > 1 and url is not None and not re.match(_POSTGRES, url):
            raise ValueError(
                "a database on SQLite has one process; several share one on PostgreSQL, see SENDOFF_DATABASE_URL"
            )
        return processes

    @field_validator("default_model")
    @classmethod
    def _is_handle(cls, handle: str) -> str:
        if handle and not re.fullmatch(r"[^/\s]+/\S+", handle):
            raise ValueError("expected provider/name, for example local/smollm2-135m")
        return handle

    @field_validator("callback_networks")
    @classmethod
    def _are_networks(cls, networks: str) -> str:
        networks_of(networks)
        return networks

    @field_validator("fairness_weights")
    @classmethod
    def _are_weights(cls, weights: str) -> str:
        weights_of(weights)
        return weights

    @field_validator("callback_ports")
    @classmethod
    def _are_ports(cls, ports: str) -> str:
        ports_of(ports)
        return ports

    @property
    def callback_secret_path(self) -> Path:
        """Where the secrets are that sign callbacks."""
        named = Path(self.callback_secret_file).expanduser()
        return named if self.callback_secret_file else self.data_dir / "callback.secret"

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the server."""
        return is_local(self.grpc_address) and (self.http_address == "off" or is_local(self.http_address))

    @property
    def mcp_servers_path(self) -> Path | None:
        """The file of MCP servers, if there is one."""
        return Path(self.mcp_servers_file).expanduser() if self.mcp_servers_file else None

    @property
    def postgres_url(self) -> str | None:
        """Of the database on PostgreSQL, with its password; None: it is on SQLite."""
        return self.database_url if re.match(_POSTGRES, self.database_url) else None

    @property
    def database_told(self) -> str:
        """The database, as it may be told to anyone."""
        return str(self.database_path) if self.postgres_url is None else _without_secrets(self.postgres_url)

    @property
    def database_path(self) -> Path:
        """Path of the database, if it is on SQLite."""
        return Path(self.database_url.removeprefix("sqlite:///")) if self.database_url else self.data_dir / "sendoff.db"
