"""What GetServerInfo tells about the program and its contract."""

from __future__ import annotations

import re
from importlib.metadata import version

from sendoff_server.server_info import SERVICE_FILES, contract_digest, server_info
from sendoff_server.settings import Settings


def test_the_digest_is_that_of_the_contract_whatever_the_order_of_its_files() -> None:
    digest = contract_digest(SERVICE_FILES)
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert contract_digest(reversed(SERVICE_FILES)) == digest
    assert contract_digest(SERVICE_FILES[:-1]) != digest


def test_it_tells_version_and_digest() -> None:
    info = server_info(Settings())
    assert (info.version, info.contract_digest) == (version("sendoff"), contract_digest(SERVICE_FILES))
    assert list(info.features) == sorted(set(info.features)) != []


def test_limits_follow_the_settings() -> None:
    limits = server_info(Settings(max_request_bytes=5_000, max_stream_age_s=90.5)).limits
    assert (limits["max_request_bytes"], limits["max_stream_age_seconds"]) == (5_000, 90)
    assert (limits["max_page_size"], limits["max_wait_seconds"]) == (1_000, 55)
