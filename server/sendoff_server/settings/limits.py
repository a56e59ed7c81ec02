"""What a tenant, a key or the whole process may take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from sendoff_server.settings.group import Group


class LimitSettings(Group):
    """What a tenant, a key or the whole process may take."""

    max_accepts_per_s: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        0.0,
        description="Most requests a second that start runs, of one tenant in this process; more are refused with "
        "QUOTA_EXCEEDED. 0: as many as come.",
    )
    max_open_runs: Annotated[int, Field(ge=0, le=100_000_000)] = Field(
        100_000,
        description="Most runs of one tenant that have not ended, in all servers of the database together. 0: as many "
        "as come.",
    )
    max_watchers: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        10_000,
        description="Most calls of one tenant that watch or wait in this process, open streams among them. 0: as many "
        "as come.",
    )
    max_stored_mb: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(
        0,
        description="Most MiB of messages and files of one tenant; then it can send nothing new. 0: as much as comes.",
    )
    quotas_file: str = Field(
        "",
        description="TOML file of what single tenants and keys may take instead, read again when it changes. Empty: "
        "all tenants may take the same.",
    )
    max_waiting_accepts: Annotated[int, Field(ge=2, le=1_000_000)] = Field(
        2_000,
        description="Most requests that start runs which this process works on at once, half of them of one tenant, or "
        "less if others have some too; more are refused with OVERLOADED.",
    )
    max_memory_mb: Annotated[int, Field(ge=0, le=16_777_216)] = Field(
        0,
        description="Memory of this process, in MiB, near which watchers are sent away, and then new runs. 0: nine "
        "tenths of what its container may have, or of the machine's, shared by the processes that `serve` starts.",
    )

    @property
    def quotas_path(self) -> Path | None:
        """The file of quotas, if there is one."""
        return Path(self.quotas_file).expanduser() if self.quotas_file else None
