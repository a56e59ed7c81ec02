"""What the server sends is verified by the standard's own libraries, as receivers use them, and nothing else is."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from sendoff_server.app import Server
from sendoff_server.callbacks.signing import new_secret
from sendoff_server.settings import Settings
from tests.faults.caller import script
from tests.fixtures.receiver import Delivered, Receiver
from tests.fixtures.server import Serve
from tests.service.callback_desk import Desk, at_desk

PACKAGES = Path(__file__).parents[2] / ".venv/javascript/node_modules"
"""Made by `make test`; without it these tests fail, and do not pass for lack of what they are about."""
NODE = Path(sys.executable).with_name("node")
PATIENCE_S = 60.0
WORDS = 'Grüße, 東京 \U0001f6f0 \u2028 </script> \\ "'
"""What is written in several ways in JSON, and in several bytes each."""


@dataclass(frozen=True)
class Case:
    """What a receiver checks."""

    secret: str
    headers: dict[str, str]
    body: bytes


Verdict = dict[str, Any]
"""{"payload": ...} or {"refused": why}"""
Verify = Callable[[Sequence[Case]], Awaitable[list[Verdict]]]


async def python(cases: Sequence[Case]) -> list[Verdict]:
    return [_in_python(case) for case in cases]


def _in_python(case: Case) -> Verdict:
    try:
        return {"payload": Webhook(case.secret).verify(case.body, case.headers)}
    except WebhookVerificationError as error:
        return {"refused": str(error)}


async def javascript(cases: Sequence[Case]) -> list[Verdict]:
    process = await asyncio.create_subprocess_exec(
        NODE,
        Path(__file__).with_name("verify.cjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NODE_PATH": str(PACKAGES)},
    )
    asked = "\n".join(json.dumps({**vars(case), "body": base64.b64encode(case.body).decode()}) for case in cases)
    try:
        async with asyncio.timeout(PATIENCE_S):
            told, trouble = await process.communicate(asked.encode())
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, trouble.decode()
    return [json.loads(line) for line in told.splitlines()]


each_library = pytest.mark.parametrize("verify", [python, javascript], ids=lambda verify: verify.__name__)


@pytest.fixture
async def desk(server: Server) -> AsyncIterator[Desk]:
    async with at_desk(server) as opened:
        yield opened


async def delivered(desk: Desk, receiver: Receiver, **fields: Any) -> Delivered:
    """What a run's end has sent."""
    before = len(receiver.got)
    await desk.caller.send(await desk.caller.agent(), script(text=WORDS), **fields)
    return (await receiver.requests(before + 1))[before]


def as_received(got: Delivered, secret: str) -> Case:
    return Case(secret, got.headers, got.body)


def changed(case: Case, **headers: str) -> Case:
    return replace(case, headers=case.headers | {name.replace("_", "-"): told for name, told in headers.items()})


async def check(verify: Verify, case: Case) -> None:
    """It verifies as it came, and with anything changed it does not."""
    later = str(int(case.headers["webhook-timestamp"]) + 1)
    unsigned = {name: told for name, told in case.headers.items() if name != "webhook-signature"}
    good, *others = await verify(
        [
            case,
            replace(case, body=case.body.replace(b"completed", b"cancelled")),
            replace(case, body=case.body + b" "),
            replace(case, body=json.dumps(json.loads(case.body)).encode()),
            changed(case, webhook_timestamp=later),
            changed(case, webhook_id=case.headers["webhook-id"] + "0"),
            replace(case, secret=new_secret()),
            replace(case, headers=unsigned),
        ]
    )
    assert good == {"payload": json.loads(case.body)}
    assert [each for each in others if "refused" not in each] == []
    assert len(others) == 7


@each_library
async def test_the_callback_of_a_run_verifies_as_it_came_and_not_with_anything_changed(
    desk: Desk, receiver: Receiver, settings: Settings, verify: Verify
) -> None:
    got = await delivered(desk, receiver, callback_url=receiver.url())
    assert [each.get("content") for each in got.json["metadata"]["result"]["messages"]][-1] == WORDS
    await check(verify, as_received(got, settings.callback_secret_path.read_text().strip()))


@each_library
async def test_what_an_endpoint_gets_verifies_by_its_own_secret(
    desk: Desk, receiver: Receiver, settings: Settings, verify: Verify
) -> None:
    made = await desk.create(url=receiver.url(), event_types=["run.finished"], include_run=True)
    got = await delivered(desk, receiver)
    await check(verify, as_received(got, made.secret))
    (by_the_server,) = await verify([as_received(got, settings.callback_secret_path.read_text().strip())])
    assert "refused" in by_the_server


@each_library
async def test_while_a_secret_is_rotated_both_verify_and_afterwards_the_new_one(
    desk: Desk, receiver: Receiver, verify: Verify
) -> None:
    made = await desk.create(url=receiver.url(), event_types=["run.finished"])
    newer = await desk.rotate(made.endpoint.id)
    during = await delivered(desk, receiver)
    newest = await desk.rotate(made.endpoint.id, overlap_s=0)
    after = await delivered(desk, receiver)
    verdicts = await verify(
        [as_received(got, each) for got in (during, after) for each in (made.secret, newer, newest)]
    )
    assert ["payload" in verdict for verdict in verdicts] == [True, True, False, False, False, True]
    await check(verify, as_received(during, made.secret))
    await check(verify, as_received(during, newer))


@each_library
async def test_a_test_of_an_endpoint_verifies(desk: Desk, receiver: Receiver, verify: Verify) -> None:
    made = await desk.create(url=receiver.url())
    assert (await desk.test(made.endpoint.id)).status_code == 200
    (got,) = receiver.got
    (verdict,) = await verify([as_received(got, made.secret)])
    assert verdict["payload"]["type"] == "endpoint.test"


@each_library
async def test_every_secret_of_the_server_verifies_while_its_file_has_several(
    serve: Serve, settings: Settings, receiver: Receiver, verify: Verify
) -> None:
    secrets = [new_secret(), new_secret()]
    settings.data_dir.mkdir(parents=True)
    settings.callback_secret_path.write_text("\n".join(secrets) + "\n")
    async with serve() as server, at_desk(server) as desk:
        got = await delivered(desk, receiver, callback_url=receiver.url())
    for secret in secrets:
        await check(verify, as_received(got, secret))


def test_the_library_for_javascript_is_the_one_that_is_pinned() -> None:
    wanted = json.loads((Path(__file__).parents[2] / "requirements/javascript/package.json").read_text())
    told = json.loads((PACKAGES / "standardwebhooks/package.json").read_text())
    assert told["version"] == wanted["dependencies"]["standardwebhooks"]
    locked = json.loads((Path(__file__).parents[2] / "requirements/javascript/package-lock.json").read_text())
    packages = {name: each for name, each in locked["packages"].items() if name}
    assert all(each["integrity"].startswith("sha512-") for each in packages.values())
    assert not any("resolved" in each for each in packages.values()), "where to fetch it is for npm's settings to say"
