"""A server where several tenants live."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc.aio
import pytest
from pydantic import SecretStr

from sendoff_server import app
from sendoff_server.settings import ProviderSettings, Settings
from tests.contract.databases import PostgresDatabase
from tests.fixtures.fake_providers import fake_providers
from tests.tenants.gate import NamedTenants


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    return address_of(request)


def address_of(request: pytest.FixtureRequest) -> str:
    """Of a database of the engine that is the parameter; empty for SQLite."""
    if request.param == "sqlite":
        return ""
    postgres: PostgresDatabase = request.getfixturevalue("postgres")
    return postgres.dsn


@pytest.fixture
async def server(settings: Settings, database_url: str) -> AsyncIterator[app.Server]:
    """With both doors, and a model that looks at pictures."""
    told = settings.model_copy(update={"database_url": database_url, "http_address": "127.0.0.1:0"})
    async with fake_providers() as provider:
        providers = ProviderSettings.model_construct(
            openai_api_key=SecretStr("sk-secret"),
            openai_base_url=f"{provider.url}/v1",
            anthropic_api_key=None,
            anthropic_base_url=None,
        )
        async with app.running(told, providers, gate=NamedTenants()) as running:
            yield running


@pytest.fixture
async def channel(server: app.Server) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.grpc.address) as opened:
        yield opened
