"""Memory blocks over REST."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import letta_client
import pytest

from sendoff_server.app import Server
from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking
from tests.gateway.sdk import EACH_WAY, Kind, Sdk, connected, url

NOBODY = "block-00000000-0000-4000-8000-000000000000"


@pytest.fixture(params=EACH_WAY, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    async with serve(http_address="127.0.0.1:0") as running:
        yield running


@pytest.fixture
async def sdk(server: Server, kind: Kind) -> AsyncIterator[Sdk]:
    async with connected(url(server), kind) as client:
        yield client


@pytest.fixture
async def door(server: Server) -> AsyncIterator[Door]:
    async with knocking(server) as opened:
        yield opened


async def test_a_block_is_made_read_changed_and_deleted(sdk: Sdk) -> None:
    made = await sdk(
        "blocks.create",
        label="human",
        value="likes tea",
        limit=9,
        description="who",
        metadata={"n": 1},
        tags=["a"],
        read_only=True,
    )
    assert (made.label, made.value, made.limit, made.description) == ("human", "likes tea", 9, "who")
    assert (made.metadata, made.tags, made.read_only, made.hidden) == ({"n": 1}, ["a"], True, None)
    assert await sdk("blocks.retrieve", made.id) == made

    assert (await sdk("blocks.update", made.id)) == made
    changed = await sdk("blocks.update", made.id, value="tea", read_only=False, description=None, tags=[])
    assert (changed.value, changed.read_only, changed.description, changed.tags) == ("tea", False, None, [])
    assert (changed.label, changed.limit, changed.metadata) == ("human", 9, {"n": 1})
    assert await sdk("blocks.retrieve", made.id) == changed

    assert await sdk("blocks.delete", made.id) is None
    for call in ("blocks.retrieve", "blocks.update", "blocks.delete"):
        with pytest.raises(letta_client.NotFoundError, match=made.id):
            await sdk(call, made.id)


async def test_a_block_is_told_as_the_page_shows_it(door: Door) -> None:
    made = await door.post(
        "/v1/blocks/",
        {"label": "human", "value": "Guest likes window tables.", "description": "What we know about the guest"},
    )
    shown = (
        '{"value":"Guest likes window tables.","limit":100000,"project_id":null,"template_name":null,'
        '"is_template":false,"template_id":null,"base_template_id":null,"deployment_id":null,"entity_id":null,'
        '"preserve_on_migration":false,'
        '"label":"human","read_only":false,"description":"What we know about the guest","metadata":{},"hidden":null,'
        f'"id":"{made["id"]}","created_by_id":null,"last_updated_by_id":null,"tags":[]}}'
    )
    assert (await door.http.get(f"/v1/blocks/{made['id']}")).text == shown


async def test_a_value_stays_within_its_limit(sdk: Sdk) -> None:
    made = await sdk("blocks.create", label="human", value="four", limit=4)
    for call, args, fields, field in (
        ("blocks.create", (), {"label": "human", "value": "fifth", "limit": 4}, "value"),
        ("blocks.update", (made.id,), {"value": "fifth"}, "value"),
        ("blocks.update", (made.id,), {"limit": 3}, "limit"),
    ):
        with pytest.raises(letta_client.UnprocessableEntityError, match=f"'detail': '{field}: "):
            await sdk(call, *args, **fields)
    assert (await sdk("blocks.retrieve", made.id)) == made


async def test_iterating_over_blocks_gives_each_once_in_order(sdk: Sdk) -> None:
    made = [(await sdk("blocks.create", label=f"b{number}", value="")).id for number in range(7)]

    assert [each.id for each in await sdk.all("blocks.list")] == made[::-1]
    assert [each.id for each in await sdk.all("blocks.list", limit=3)] == made[::-1]
    assert [each.id for each in await sdk.all("blocks.list", limit=3, order="asc")] == made
    page = await sdk("blocks.list", limit=2, before=made[1])
    assert [each.id for each in page.items] == [made[3], made[2]]
    assert [each.id for each in await sdk.all("blocks.list", limit=2, before=made[1])] == [
        made[n] for n in (3, 2, 5, 4, 6)
    ], "the client puts its pages in the order in which it fetches them"
    page = await sdk("blocks.list", after=made[5], before=made[2])
    assert [each.id for each in page.items] == [made[4], made[3]]


async def test_blocks_are_narrowed_down(sdk: Sdk) -> None:
    async def make(label: str, value: str, *tags: str, description: str = "") -> str:
        made = await sdk("blocks.create", label=label, value=value, tags=list(tags), description=description)
        return str(made.id)

    tea = await make("human", "likes Tea", "a", "b", description="A guest")
    desk = await make("desk", "a tea pot", "b")

    async def found(**wanted: Any) -> list[str]:
        return [each.id for each in await sdk.all("blocks.list", limit=1, **wanted)]

    assert await found(label="human") == await found(label_search="HUM") == [tea]
    assert await found(value_search="tea") == [desk, tea]
    assert await found(description_search="guest") == [tea]
    assert await found(tags=["a", "b"]) == [desk, tea]
    assert await found(tags=["a", "b"], match_all_tags=True) == [tea]
    assert await found(label="human", value_search="pot") == []
    assert await found(name="of a template") == await found(templates_only=True) == []
    with pytest.raises(letta_client.UnprocessableEntityError, match="connected_to_agents_count_gt"):
        await found(connected_to_agents_count_gt=1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"value": "x"}, "label"),
        ({"label": "x"}, "value"),
        ({"label": "", "value": ""}, "label"),
        ({"label": "a\tb", "value": ""}, "label"),
        ({"label": "x" * 65, "value": ""}, "label"),
        ({"label": ["x"], "value": ""}, "label"),
        ({"label": "x", "value": {}}, "value"),
        ({"label": "x", "value": "x" * 100_001}, "value"),
        ({"label": "x", "value": "x" * 100_001, "limit": 200_000}, "limit"),
        ({"label": "x", "value": "", "limit": -1}, "limit"),
        ({"label": "x", "value": "", "limit": 2**40}, "limit"),
        ({"label": "x", "value": "", "read_only": "perhaps"}, "read_only"),
        ({"label": "x", "value": "", "metadata": []}, "metadata"),
        ({"label": "x", "value": "", "tags": "a"}, "tags"),
        ({"label": "x", "value": "", "tags": ["a"] * 65}, "tags"),
        ({"label": "x", "value": "", "description": "x" * 20_000}, "description"),
        ({"label": "x", "value": "\ud800"}, "value"),
    ],
)
async def test_a_block_that_is_none_is_refused_with_the_name_of_its_fault(
    door: Door, body: dict[str, Any], field: str
) -> None:
    made = await door.post("/v1/blocks/", {"label": "good", "value": "", "hidden": True, "unknown": 1})
    told = [await door.http.post("/v1/blocks/", content=_text(body))]
    if {"label", "value"} <= set(body):
        told.append(await door.http.patch(f"/v1/blocks/{made['id']}", content=_text(body)))
    for response in told:
        assert response.status_code == 422, response.text
        assert response.json()["detail"].startswith(field)
        assert response.headers["x-should-retry"] == "false"
    assert await door.get("/v1/blocks/") == [made]


def _text(body: dict[str, Any]) -> bytes:
    """As JSON in ASCII: it can have in it what UTF-8 cannot."""
    return json.dumps(body).encode()


async def test_ids_cursors_and_filters_that_are_none_are_refused(door: Door) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        for block_id, status in ((NOBODY, 404), ("block-1", 422), (NOBODY.upper(), 422), (f"{NOBODY}0", 422)):
            for end in ("", "/"):
                response = await door.http.request(method, f"/v1/blocks/{block_id}{end}")
                assert response.status_code == status, response.text
                assert block_id in response.json()["detail"]
    for query, status in (
        ({"after": NOBODY}, 404),
        ({"after": "x"}, 422),
        ({"before": ""}, 422),
        ({"limit": "0"}, 422),
        ({"limit": "1001"}, 422),
        ({"order": "up"}, 422),
        ({"order_by": "label"}, 422),
        ({"match_all_tags": "perhaps"}, 422),
        ({"label_search": "x" * 256}, 422),
        ({"tags": ["t"] * 65}, 422),
    ):
        response = await door.http.get("/v1/blocks", params=query)
        assert response.status_code == status, (query, response.text)
        if status == 422:
            assert next(iter(query)) in response.json()["detail"]
