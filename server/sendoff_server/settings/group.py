"""What groups of settings have in common."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class Group(BaseSettings):
    """Settings that belong together; `Settings` has all of them."""

    model_config = SettingsConfigDict(env_prefix="SENDOFF_", env_ignore_empty=True, frozen=True, extra="ignore")
