"""Quotas: what a tenant or a key may take, as settings and a file of the operator say.

The file is TOML. What stands in it for a tenant takes the place of the setting, for that tenant alone; what stands for
a key counts beside what its tenant may take:

    [tenants.acme]
    accepts_per_s = 50      # requests that make runs; accepts_burst of them may come at once, by default one second's
    open_runs = 1000        # runs that have not ended
    runs_under_way = 20     # runs that execute
    watchers = 100          # calls that watch or wait
    stored_mb = 500         # MiB of messages and files
    request_bytes = 65536   # size of a request

    [keys.4f2a]
    accepts_per_s = 5       # and accepts_burst, watchers, request_bytes

0 is no quota.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_MOST = 1_000_000_000

Rate = Annotated[float, Field(ge=0, le=_MOST, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=_MOST, strict=True)]


class BadQuotas(Exception):
    """The file of quotas cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """What may be had; 0: as much as is wanted."""

    accepts_per_s: float = 0.0
    accepts_burst: float = 0.0
    """How many may come at once; 0: what comes in a second."""
    open_runs: int = 0
    runs_under_way: int = 0
    watchers: int = 0
    stored_mb: int = 0
    request_bytes: int = 0


NO_QUOTAS = Quotas()


@dataclass(frozen=True, slots=True)
class Book:
    """Who may take what."""

    default: Quotas = NO_QUOTAS
    """Of tenants that are not named."""
    tenants: dict[str, Quotas] = field(default_factory=dict)
    keys: dict[str, Quotas] = field(default_factory=dict)

    def of_tenant(self, tenant: str) -> Quotas:
        return self.tenants.get(tenant, self.default)

    def of_key(self, key_id: str) -> Quotas:
        return self.keys.get(key_id, NO_QUOTAS)

    @property
    def limits_runs_under_way(self) -> bool:
        """Whether there is a tenant that may not have as many as there are slots."""
        return bool(self.default.runs_under_way) or any(each.runs_under_way for each in self.tenants.values())


def read(path: Path, default: Quotas) -> Book:
    """Raises BadQuotas."""
    try:
        told = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadQuotas(f"{path}: {error}") from None
    except ValidationError as error:
        raise BadQuotas(
            f"{path}: {'; '.join(_fault(dict(each)) for each in error.errors(include_url=False))}"
        ) from None
    return Book(
        default,
        {tenant: _quotas(default, each) for tenant, each in told.tenants.items()},
        {key_id: _quotas(NO_QUOTAS, each) for key_id, each in told.keys.items()},
    )


class _OfKey(BaseModel):
    model_config = ConfigDict(extra="forbid")
    accepts_per_s: Rate | None = None
    accepts_burst: Rate | None = None
    watchers: Count | None = None
    request_bytes: Count | None = None


class _OfTenant(_OfKey):
    open_runs: Count | None = None
    runs_under_way: Count | None = None
    stored_mb: Count | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tenants: dict[str, _OfTenant] = {}
    keys: dict[str, _OfKey] = {}


def _quotas(default: Quotas, told: _OfKey) -> Quotas:
    """The burst of another rate is not that of this one."""
    changes = told.model_dump(exclude_none=True)
    if "accepts_per_s" in changes:
        default = replace(default, accepts_burst=0.0)
    return replace(default, **changes)


def _fault(fault: dict[str, Any]) -> str:
    place = ".".join(str(each) for each in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{place} is no quota"
    return f"{place}: {fault['msg']}"
