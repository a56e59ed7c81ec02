"""Endpoints of callbacks and their deliveries over REST."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sendoff_server.clock import SECOND_NS
from sendoff_server.gateway.routes import callbacks
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import Serve
from tests.gateway.door import PATIENCE_S, Door, knocking, script

CONTRACT = Path(__file__).parents[2] / "protos/sendoff/v1/callback_service.proto"
ENDPOINTS, DELIVERIES = "/v1/callback-endpoints", "/v1/callback-deliveries"
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def door(serve: Serve) -> AsyncIterator[Door]:
    async with serve(http_address="127.0.0.1:0") as running, knocking(running) as opened:
        yield opened


async def call(door: Door, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """The answer's body; the call must succeed."""
    response = await door.http.request(method, path, json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


async def delivered(door: Door, receiver: Receiver, **endpoint: Any) -> tuple[Any, Any]:
    """A new endpoint of the receiver, and the only delivery of a run once it is over."""
    made = await door.post(ENDPOINTS, {"url": receiver.url(), **endpoint})
    agent = await door.agent()
    run = await door.post(f"/v1/agents/{agent}/messages/async", {"input": script(text="ahoy")})
    await receiver.requests(1)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            (delivery,) = (await door.get(DELIVERIES, run_id=run["id"]))["deliveries"]
            if delivery["attempts"]:
                return made, delivery


def test_the_routes_are_those_that_the_contract_names() -> None:
    told = re.findall(r"// REST: (\w+) (\S+)", CONTRACT.read_text())

    assert sorted(told) == sorted((method, path) for method, path, _ in callbacks.TABLE)


# ---- endpoints ----


async def test_an_endpoint_is_made_read_listed_changed_and_deleted(door: Door) -> None:
    agent = await door.agent()
    made = await door.post(ENDPOINTS, {"url": "http://127.0.0.1:9999/hook", "agent_id": agent, "description": "shop"})
    endpoint = made["endpoint"]
    path = f"{ENDPOINTS}/{endpoint['id']}"

    assert made["secret"].startswith("whsec_")
    assert list(endpoint) == [
        "id",
        "url",
        "event_types",
        "agent_id",
        "include_run",
        "disabled",
        "disabled_reason",
        "description",
        "create_time",
        "update_time",
        "etag",
    ]
    assert (endpoint["agent_id"], endpoint["include_run"], endpoint["description"]) == (agent, False, "shop")
    assert endpoint["create_time"].endswith("Z")
    assert await door.get(path) == endpoint

    changed = await call(door, "PATCH", path, {"disabled": True, "event_types": ["run.started"], "description": None})
    assert (changed["disabled"], changed["event_types"], changed["description"]) == (True, ["run.started"], "")
    assert (changed["url"], changed["agent_id"]) == (endpoint["url"], agent)
    assert changed["etag"] != endpoint["etag"]
    assert await door.get(ENDPOINTS) == {"endpoints": [changed], "next_page_token": ""}

    assert await call(door, "DELETE", path) is None
    assert (await door.http.get(path)).json()["reason"] == "ENDPOINT_NOT_FOUND"


async def test_an_endpoint_without_a_url_is_pulled_and_has_no_secret(door: Door) -> None:
    made = await door.post(ENDPOINTS, {"url": None})

    assert (made["endpoint"]["url"], made["secret"]) == (None, "")
    path = f"{ENDPOINTS}/{made['endpoint']['id']}"
    for action in (":test", ":rotateSecret"):
        response = await door.http.post(path + action)
        assert (response.status_code, response.json()["reason"]) == (409, "ENDPOINT_HAS_NO_URL")
    assert (await call(door, "PATCH", path, made["endpoint"]))["url"] is None


async def test_the_same_key_is_the_same_endpoint_and_its_secret(door: Door) -> None:
    body = {"url": "http://127.0.0.1:9999/"}
    made = await door.post(ENDPOINTS, body, **{"idempotency-key": "mine"})

    assert await door.post(ENDPOINTS, body, **{"idempotency-key": "mine"}) == made
    other = await door.http.post(ENDPOINTS, json={}, headers={"idempotency-key": "mine"})
    assert (other.status_code, other.json()["reason"]) == (409, "IDEMPOTENCY_MISMATCH")
    assert made["endpoint"]["id"] in other.json()["detail"]
    assert (await door.post(ENDPOINTS, body))["endpoint"]["id"] != made["endpoint"]["id"]


async def test_an_endpoint_that_was_changed_meanwhile_is_left_alone(door: Door) -> None:
    endpoint = (await door.post(ENDPOINTS, {}))["endpoint"]
    path = f"{ENDPOINTS}/{endpoint['id']}"

    changed = await call(door, "PATCH", path, {"description": "a", "etag": endpoint["etag"]})
    response = await door.http.patch(path, json={"description": "b", "etag": endpoint["etag"]})

    assert response.json()["reason"] == "ETAG_MISMATCH"
    assert await door.get(path) == changed


async def test_endpoints_are_listed_page_by_page_newest_first(door: Door) -> None:
    made = [(await door.post(ENDPOINTS, {}))["endpoint"]["id"] for _ in range(3)]

    first = await door.get(ENDPOINTS, page_size=2)
    second = await door.get(ENDPOINTS, page_size=2, page_token=first["next_page_token"])

    assert [each["id"] for each in (*first["endpoints"], *second["endpoints"])] == made[::-1]
    assert second["next_page_token"] == ""


async def test_what_an_endpoint_cannot_be_is_refused_by_name(door: Door) -> None:
    cases: list[tuple[Any, str]] = [
        ({"url": "ftp://shop.example/"}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": 7}, "url"),
        ({"event_types": ["run.lost"]}, "event_types[0]"),
        ({"event_types": "run.finished"}, "event_types"),
        ({"agent_id": "agent-1"}, "agent_id"),
        ({"description": "x" * 1_001}, "description"),
        ({"id": f"endpoint-{NOBODY}"}, "id"),
        ({"disabled_reason": "mine"}, "disabled_reason"),
    ]
    for body, told in cases:
        response = await door.http.post(ENDPOINTS, json=body)
        assert response.status_code == 422, response.text
        assert response.json()["detail"].startswith(f"{told}: ")
    assert (await door.get(ENDPOINTS))["endpoints"] == []


async def test_what_is_not_there_or_no_id_is_told(door: Door) -> None:
    unknown = await door.http.post(ENDPOINTS, json={"agent_id": f"agent-{NOBODY}"})
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "AGENT_NOT_FOUND")
    calls = (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", ":test"), ("POST", ":rotateSecret"))
    for method, action in calls:
        missing = await door.http.request(method, f"{ENDPOINTS}/endpoint-{NOBODY}{action}")
        assert (missing.status_code, missing.json()["reason"]) == (404, "ENDPOINT_NOT_FOUND")
        malformed = await door.http.request(method, f"{ENDPOINTS}/endpoint-1{action}")
        assert (malformed.status_code, "endpoint_id: " in malformed.json()["detail"]) == (422, True)
    missing = await door.http.get(f"{DELIVERIES}/delivery-{NOBODY}")
    assert (missing.status_code, missing.json()["reason"]) == (404, "DELIVERY_NOT_FOUND")
    for path in (f"{DELIVERIES}/{NOBODY}", f"{DELIVERIES}?statuses=lost", f"{DELIVERIES}?run_id=run-1"):
        assert (await door.http.get(path)).status_code == 422


# ---- secrets ----


async def test_a_new_secret_signs_beside_the_old_one_as_long_as_that_was_asked_for(
    door: Door, receiver: Receiver
) -> None:
    made = await door.post(ENDPOINTS, {"url": receiver.url()})
    path = f"{ENDPOINTS}/{made['endpoint']['id']}"

    second = (await door.post(f"{path}:rotateSecret", {"overlap": 3_600}))["secret"]
    await door.post(f"{path}:test", None)
    third = (await door.post(f"{path}:rotateSecret", {"overlap": "0s"}))["secret"]
    await door.post(f"{path}:test", None)

    both, alone = await receiver.requests(2)
    assert both.verified(made["secret"]) == both.verified(second) == both.json
    assert alone.verified(third) == alone.json
    assert len(alone.headers["webhook-signature"].split()) == 1
    assert "secret" not in await door.get(path)
    refused = await door.http.post(f"{path}:rotateSecret", json={"overlap": -1})
    assert (refused.status_code, "overlap: " in refused.json()["detail"]) == (422, True)


async def test_a_test_tells_what_the_receiver_answered(door: Door, receiver: Receiver) -> None:
    made = await door.post(ENDPOINTS, {"url": receiver.url(), "disabled": True})
    receiver.acts = [204, 500]
    path = f"{ENDPOINTS}/{made['endpoint']['id']}:test"

    well, badly = (await door.post(path, None))["attempt"], (await door.post(path, None))["attempt"]

    assert (well["status_code"], well["error"]) == (204, "")
    assert (badly["status_code"], bool(badly["error"])) == (500, True)
    assert 0 < well["duration_ns"] < 60 * SECOND_NS
    body = receiver.got[0].verified(made["secret"])
    assert (body["type"], body["data"]) == ("endpoint.test", {"endpoint_id": made["endpoint"]["id"]})


# ---- deliveries ----


async def test_a_delivery_is_told_with_its_attempts_and_found_by_what_it_is(door: Door, receiver: Receiver) -> None:
    made, delivery = await delivered(door, receiver, include_run=True)

    got = receiver.got[0]
    body = got.verified(made["secret"])
    assert (body["type"], body["data"]["run_id"]) == ("run.finished", delivery["run_id"])
    assert body["data"]["result"]["messages"][-1]["content"] == "ahoy"
    assert (delivery["id"], delivery["event_type"], delivery["status"]) == (got.id, "run.finished", "delivered")
    assert (delivery["endpoint_id"], delivery["url"]) == (made["endpoint"]["id"], receiver.url())
    assert (delivery["attempt_count"], delivery["next_attempt_time"]) == (1, None)
    (attempt,) = delivery["attempts"]
    assert (attempt["status_code"], attempt["error"]) == (200, "")
    assert await door.get(f"{DELIVERIES}/{delivery['id']}") == delivery
    whole = {"deliveries": [delivery], "next_page_token": ""}
    filters = {"endpoint_id": made["endpoint"]["id"], "statuses": ["delivered", "pending"]}
    assert await door.get(DELIVERIES, **filters) == whole
    assert await door.get(DELIVERIES, statuses="dead_lettered") == {"deliveries": [], "next_page_token": ""}


async def test_what_was_given_up_is_tried_again_under_its_id(door: Door, receiver: Receiver) -> None:
    receiver.acts = [410]
    made, delivery = await delivered(door, receiver)
    path = f"{ENDPOINTS}/{made['endpoint']['id']}"
    assert delivery["status"] == "dead_lettered"
    assert (await door.get(path))["disabled_reason"]

    redeliver = f"{DELIVERIES}:redeliver"
    disabled = await door.http.post(redeliver, json={"delivery_ids": [delivery["id"]]})
    assert (disabled.status_code, disabled.json()["reason"]) == (409, "ENDPOINT_DISABLED")
    await call(door, "PATCH", path, {"disabled": False})
    since = {"endpoint_id": made["endpoint"]["id"], "since": "2999-01-01T00:00:00Z"}
    assert await door.post(redeliver, since) == {"queued": 0}
    assert await door.post(redeliver, {"endpoint_id": made["endpoint"]["id"]}) == {"queued": 1}

    first, second = await receiver.requests(2)
    assert (second.id, second.attempt, second.body) == (first.id, 2, first.body)


async def test_a_redelivery_that_does_not_say_of_what_is_refused(door: Door) -> None:
    bodies = [
        {},
        {"delivery_ids": [f"delivery-{NOBODY}"], "endpoint_id": f"endpoint-{NOBODY}"},
        {"delivery_ids": ["delivery-1"]},
        {"delivery_ids": [f"delivery-{NOBODY}"], "since": "2026-03-04T10:15:00Z"},
        {"endpoint_id": f"endpoint-{NOBODY}", "since": "yesterday"},
    ]
    for body in bodies:
        assert (await door.http.post(f"{DELIVERIES}:redeliver", json=body)).status_code == 422, body


# ---- a run's own callback ----


async def test_who_waits_for_the_answer_is_told_that_he_is_not_called_back(door: Door) -> None:
    agent = await door.agent()
    body = {"input": script(text="ahoy"), "callback_url": "http://127.0.0.1:9999/", "callback": {"include_run": True}}

    refused = await door.http.post(f"/v1/agents/{agent}/messages", json=body)

    assert (refused.status_code, "callback: goes with" in refused.json()["detail"]) == (422, True)


async def test_a_request_chooses_the_events_and_the_secret_of_its_own_callback(door: Door, receiver: Receiver) -> None:
    made = await door.post(ENDPOINTS, {"url": receiver.url("/registered"), "disabled": True})
    agent = await door.agent()
    options = {"event_types": ["run.started"], "include_run": True, "secret_id": made["endpoint"]["id"]}
    body = {"input": script(text="ahoy"), "callback_url": receiver.url(), "callback": options}

    run = await door.post(f"/v1/agents/{agent}/messages/async", body)

    (got,) = await receiver.requests(1)
    told = got.verified(made["secret"])
    assert (told["type"], told["data"]["run_id"], told["data"]["run"]["id"]) == ("run.started", run["id"], run["id"])
    for path, value in (("secret_id", f"endpoint-{NOBODY}"), ("event_types", ["run.lost"])):
        refused = await door.http.post(
            f"/v1/agents/{agent}/messages/async", json={**body, "callback": {**options, path: value}}
        )
        assert refused.status_code == (404 if path == "secret_id" else 422), refused.text
