"""Memory blocks, through both clients and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

import sendoff
from sendoff import methods, requests, v1
from tests.unit.client.commanding import Command
from tests.unit.client.scripted_server import AGENT_ID, UNAVAILABLE, Asker, ScriptedServer

BLOCK_ID = "block-00000000-0000-4000-8000-000000000001"
MADE = v1.Block(id=BLOCK_ID, label="human", value="Likes tea.", limit=50, description="The guest", etag="e1")


# ---- both clients ----


async def test_a_block_is_made_once_however_often_it_is_sent(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_BLOCK, UNAVAILABLE, MADE)

    assert await asker.call("create_block", label="human", value="Likes tea.", metadata={"n": 1}) == MADE

    first, second = server.asked(v1.CreateBlockRequest)
    assert first == second
    assert len(first.request_id) == 36
    assert first.block == v1.Block(label="human", value="Likes tea.", metadata=v1.JsonObject(json='{"n": 1}'))


async def test_a_block_is_read_changed_and_deleted(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.GET_BLOCK, UNAVAILABLE, MADE)
    server.plan(methods.UPDATE_BLOCK, UNAVAILABLE, MADE)
    server.plan(methods.DELETE_BLOCK, v1.DeleteBlockResponse())

    assert await asker.call("get_block", BLOCK_ID) == MADE
    assert await asker.call("update_block", BLOCK_ID, value="") == MADE
    assert await asker.call("delete_block", BLOCK_ID) is None

    assert server.asked(v1.DeleteBlockRequest) == [v1.DeleteBlockRequest(block_id=BLOCK_ID)]


async def test_what_must_not_be_done_twice_is_not_repeated(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.DELETE_BLOCK, UNAVAILABLE)
    server.plan(methods.UPDATE_BLOCK, UNAVAILABLE)

    with pytest.raises(sendoff.Unavailable):
        await asker.call("delete_block", BLOCK_ID)
    with pytest.raises(sendoff.Unavailable):
        await asker.call("update_block", BLOCK_ID, etag="e1", value="x")

    assert len(server.requests) == 2


def test_an_update_names_what_it_changes_also_what_it_empties() -> None:
    assert requests.update_block(BLOCK_ID, "e1", {"value": "", "read_only": False, "limit": 7}).request == (
        v1.UpdateBlockRequest(
            block_id=BLOCK_ID,
            block=v1.Block(limit=7, etag="e1"),
            update_mask=FieldMask(paths=["limit", "read_only", "value"]),
        )
    )


async def test_blocks_are_listed_page_by_page(asker: Asker, server: ScriptedServer) -> None:
    pages = [
        v1.ListBlocksResponse(blocks=[v1.Block(id="1")], next_page_token="next"),
        v1.ListBlocksResponse(blocks=[v1.Block(id="2")]),
    ]
    server.plan(methods.LIST_BLOCKS, *pages, v1.ListBlocksResponse())

    assert [each.id for each in await asker.every("blocks", AGENT_ID, label="human", page_size=1)] == ["1", "2"]
    assert await asker.every("blocks") == []

    assert server.requests == [
        v1.ListBlocksRequest(agent_id=AGENT_ID, label="human", page_size=1),
        v1.ListBlocksRequest(agent_id=AGENT_ID, label="human", page_size=1, page_token="next"),
        v1.ListBlocksRequest(),
    ]


async def test_an_agent_is_given_blocks(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_AGENT, v1.Agent(id=AGENT_ID))
    server.plan(methods.UPDATE_AGENT, v1.Agent(id=AGENT_ID))

    await asker.call("create_agent", block_ids=[BLOCK_ID])
    await asker.call("update_agent", AGENT_ID, block_ids=[])

    created, updated = server.requests
    assert created.agent == v1.Agent(block_ids=[BLOCK_ID])
    assert updated.update_mask == FieldMask(paths=["block_ids"])


# ---- the command ----


async def test_a_block_is_put_and_removed(command: Command, server: ScriptedServer, tmp_path: Path) -> None:
    server.plan(methods.CREATE_BLOCK, MADE, MADE)
    server.plan(methods.UPDATE_BLOCK, MADE, MADE)
    server.plan(methods.DELETE_BLOCK, v1.DeleteBlockResponse())
    fact = tmp_path / "fact.txt"
    fact.write_text("Grüße\n", encoding="utf-8")
    fields = ("--description", "The guest", "--limit", "50", "--read-only", "--tag", "a", "--tag", "b")

    made = await command("blocks", "put", "--label", "human", "--file", str(fact), *fields, "--request-id", "mine")
    assert (made.stdout, made.exit_code) == (f"{BLOCK_ID}\n", 0)
    made = await command("blocks", "put", "--label", "human", "--value", "-", "--json", stdin="from stdin")
    assert json.loads(made.stdout)["id"] == BLOCK_ID
    assert (await command("blocks", "put", BLOCK_ID, "--value", "", "--etag", "e1")).stdout == f"{BLOCK_ID}\n"
    assert (await command("blocks", "put", BLOCK_ID, "--writable")).exit_code == 0
    assert (await command("blocks", "rm", BLOCK_ID)).exit_code == 0

    wanted = v1.Block(
        label="human", value="Grüße\n", limit=50, description="The guest", read_only=True, tags=["a", "b"]
    )
    assert server.requests[0] == v1.CreateBlockRequest(block=wanted, request_id="mine")
    assert server.requests[1].block == v1.Block(label="human", value="from stdin")
    assert server.requests[2:] == [
        v1.UpdateBlockRequest(block_id=BLOCK_ID, block=v1.Block(etag="e1"), update_mask=FieldMask(paths=["value"])),
        v1.UpdateBlockRequest(block_id=BLOCK_ID, block=v1.Block(), update_mask=FieldMask(paths=["read_only"])),
        v1.DeleteBlockRequest(block_id=BLOCK_ID),
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "a new block needs --label"),
        (("--label", "h", "--etag", "e"), "--etag goes with a block to change"),
        ((BLOCK_ID, "--value", "x", "--request-id", "r"), "--request-id goes with a new block"),
        ((BLOCK_ID,), "nothing to change"),
        (("--label", "h", "--value", "x", "--file", "FILE"), "--value and --file exclude each other"),
        (("--label", "h", "--file", "FILE"), "it is not UTF-8"),
    ],
)
async def test_what_makes_no_sense_is_not_sent(
    words: tuple[str, ...], told: str, command: Command, server: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "picture").write_bytes(b"\xff\xd8\xff")
    given = [str(tmp_path / "picture") if word == "FILE" else word for word in words]

    outcome = await command("blocks", "put", *given)

    assert outcome.exit_code == 2
    assert told in " ".join(outcome.stderr.replace("│", " ").split())
    assert server.requests == []


async def test_a_block_is_shown_in_lines_as_json_or_as_its_value(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.GET_BLOCK, MADE, MADE, MADE)

    shown = (await command("blocks", "get", BLOCK_ID)).stdout
    as_json = json.loads((await command("blocks", "get", BLOCK_ID, "--json")).stdout)
    value = (await command("blocks", "get", BLOCK_ID, "--value")).stdout

    assert shown == (
        f"block:       {BLOCK_ID}\nlabel:       human\ndescription: The guest\n"
        "characters:  10 of 50\netag:        e1\n\nLikes tea.\n"
    )
    assert (as_json["value"], value) == ("Likes tea.", "Likes tea.\n")
    assert (await command("blocks", "get", BLOCK_ID, "--json", "--value")).exit_code == 2


async def test_blocks_of_an_agent_are_listed(command: Command, server: ScriptedServer) -> None:
    page = v1.ListBlocksResponse(blocks=[MADE, MADE, MADE], next_page_token="more")
    server.plan(methods.LIST_BLOCKS, page, page)

    rows = (await command("blocks", "ls", "--agent", AGENT_ID, "--label", "human", "--limit", "2")).stdout.splitlines()
    lines = (await command("blocks", "ls", "--limit", "1", "--json")).stdout.splitlines()

    assert rows[0].split("\t") == ["BLOCK", "LABEL", "CHARACTERS", "UPDATED", "DESCRIPTION"]
    assert [row.split("\t") for row in rows[1:]] == [[BLOCK_ID, "human", "10 of 50", "", "The guest"]] * 2
    assert [json.loads(line)["label"] for line in lines] == ["human"]
    assert server.requests == [v1.ListBlocksRequest(agent_id=AGENT_ID, label="human"), v1.ListBlocksRequest()]


async def test_an_agent_is_made_with_blocks(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_AGENT, v1.Agent(id=AGENT_ID, block_ids=[BLOCK_ID]))

    assert (await command("agents", "create", "--block", BLOCK_ID, "--block", "b")).stdout == f"{AGENT_ID}\n"

    assert server.requests[0].agent == v1.Agent(block_ids=[BLOCK_ID, "b"])
