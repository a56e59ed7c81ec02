"""With TLS a client talks to servers that it can check, and to no others."""

from __future__ import annotations

import grpc
import pytest

import sendoff
from sendoff import methods, v1
from tests.unit.client.logs import run
from tests.unit.client.scripted_server import RUN_ID, asking, serving

# Made for this test and used nowhere else; for localhost and 127.0.0.1, signed by itself, good for a hundred years.
KEY = b"""\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIHlj9souxh9GfGnvBN4V3hVpTyf6iZljOfa8aTd1UczboAoGCCqGSM49
AwEHoUQDQgAEvyOp+kaeLwG+zxzXthh21oxIPbFwVSXp0himnyPSY3HEM0zCbxMN
K6oubJrhkKV3ofUZd83TUX0Fxd7tsfYEaQ==
-----END EC PRIVATE KEY-----
"""
CERTIFICATE = b"""\
-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUd5dw34dkMVy2P8Uba37Un6Kad/EwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjAwMzcwMloYDzIxMjYxMDI5
MDAzNzAyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAS/I6n6Rp4vAb7PHNe2GHbWjEg9sXBVJenSGKafI9JjccQzTMJvEw0r
qi5smuGQpXeh9Rl3zdNRfQXF3u2x9gRpo28wbTAdBgNVHQ4EFgQUjOOJw7rC138g
6o7lvG53Knj7/jMwHwYDVR0jBBgwFoAUjOOJw7rC138g6o7lvG53Knj7/jMwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSQAwRgIhAN58dBAmehnn2JxvTwfyC6PaONkxYlR5Dy+feJM19PJRAiEA
pMrNT8Ey7gDbkQN834HvEml4iyf35QxyMpwvVswMDAk=
-----END CERTIFICATE-----
"""
RUN = run(v1.RunStatus.RUN_STATUS_RUNNING)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
async def test_a_server_whose_certificate_is_trusted_is_talked_to(kind: str) -> None:
    async with serving(grpc.ssl_server_credentials([(KEY, CERTIFICATE)])) as server:
        server.plan(methods.GET_RUN, RUN)
        options = {"tls": True, "root_certificates": CERTIFICATE, "api_key": "sk-1"}
        async with asking(kind, server.address, **options) as asker:
            assert await asker.call("get_run", RUN_ID) == RUN

        assert server.metadata[0]["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
@pytest.mark.parametrize("name", ["localhost", "elsewhere"])
async def test_several_servers_show_certificates_of_one_name(kind: str, name: str) -> None:
    async with serving(grpc.ssl_server_credentials([(KEY, CERTIFICATE)])) as server:
        server.plan(methods.GET_RUN, RUN)
        options = {"tls": True, "root_certificates": CERTIFICATE, "server_name": name}
        async with asking(kind, [server.address, "127.0.0.1:1"], **options) as asker:
            if name == "localhost":
                assert await asker.call("get_run", RUN_ID) == RUN
            else:
                with pytest.raises(sendoff.Unavailable):
                    await asker.call("get_run", RUN_ID)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
async def test_a_server_whose_certificate_is_not_trusted_is_sent_nothing(kind: str) -> None:
    async with serving(grpc.ssl_server_credentials([(KEY, CERTIFICATE)])) as server:
        async with asking(kind, server.address, tls=True, api_key="sk-1") as asker:
            with pytest.raises(sendoff.Unavailable):
                await asker.call("get_run", RUN_ID)

        assert server.requests == []
