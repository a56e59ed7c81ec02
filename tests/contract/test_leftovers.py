"""What is deleted leaves nothing behind."""

from __future__ import annotations

from sendoff_server.store.port import Store
from sendoff_server.store.questions import Fork
from tests.contract.databases import Database
from tests.contract.making import accept, claim_of, conversation, new_lane, run_to_end, turn


async def test_no_table_keeps_rows_of_a_deleted_agent(store: Store, database: Database) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane, otids=["o"], request_id="r"))
    await run_to_end(store, claim, texts=["a", "b"])
    await store.delete_agent("default", lane)
    assert set(database.count_rows().values()) == {0}


async def test_no_table_keeps_rows_of_a_deleted_fork_or_of_what_it_was_forked_from(
    store: Store, database: Database
) -> None:
    lane = await new_lane(store)
    await run_to_end(store, await claim_of(store, accept(lane)), texts=["a", "b", "c"])
    one, two = conversation(lane), conversation(lane)
    await store.create_conversation("default", one, None, b"", Fork(lane, turn(1) << 20 | 1))
    await run_to_end(store, await claim_of(store, accept(one.id, agent_id=lane)), texts=["d"])
    await store.create_conversation("default", two, None, b"", Fork(one.id, None))
    messages = []
    for gone in (one.id, two.id):
        assert await store.delete_conversation("default", gone) == {"active_runs": 0}
        messages.append(database.count_rows()["message"])
    await store.delete_agent("default", lane)
    assert messages == [4, 3]
    assert set(database.count_rows().values()) == {0}


async def test_what_a_fork_keeps_of_a_deleted_conversation_is_all_that_is_kept(
    store: Store, database: Database
) -> None:
    lane = await new_lane(store)
    source, fork = conversation(lane), conversation(lane)
    await store.create_conversation("default", source, None, b"")
    await run_to_end(store, await claim_of(store, accept(source.id, agent_id=lane)), texts=["a", "b", "c"])
    await store.create_conversation("default", fork, None, b"", Fork(source.id, turn(1) << 20 | 1))
    await store.delete_conversation("default", source.id)
    assert database.count_rows()["message"] == 2
    assert database.count_rows()["run"] == database.count_rows()["run_log"] == 0
    # A number that is given again must not bring the kept messages into another run.
    claim = await claim_of(store, accept(lane))
    assert await store.run_messages(claim.run.id, -1, 10) == []
    await run_to_end(store, claim, texts=["x"])
    inherited = (await store.history(fork.id, 1 << 62, 1000)).messages
    assert [message.assistant_message.content.text for message in inherited] == ["a", "b"]
    await store.delete_agent("default", lane)
    assert database.count_rows()["message"] == 0
