"""What a model cannot do is refused at accept, by the name of the field that asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from sendoff import v1
from tests.faults.caller import Caller, refused
from tests.fixtures.fake_providers import FakeProviders
from tests.service.test_content_round_trip import CHAT, CLAUDE, rig

__all__ = ["rig"]


@pytest.mark.parametrize(
    ("model", "fields", "named"),
    [
        (CLAUDE, {"return_logprobs": True, "return_token_ids": True}, ["return_logprobs", "return_token_ids"]),
        (CHAT, {"return_logprobs": True, "return_token_ids": True}, ["return_token_ids"]),
        (CHAT, {"limits": v1.Limits(max_cost_microusd=1)}, ["limits.max_cost_microusd"]),
    ],
)
async def test_what_a_model_cannot_do_is_refused_by_name(
    rig: tuple[Caller, FakeProviders], model: str, fields: dict[str, Any], named: list[str]
) -> None:
    caller, provider = rig
    told = await refused(caller.send(await caller.agent(model), "Hi", **fields))
    assert told.reason == "UNSUPPORTED_FEATURE"
    assert sorted(told.fields) == named
    assert not [request for request in provider.requests if request.path != "/v1/models"]


@pytest.mark.parametrize("model", [CHAT, "scripted/echo"])
async def test_what_a_model_can_do_is_accepted(rig: tuple[Caller, FakeProviders], model: str) -> None:
    caller, _ = rig
    run = await caller.send(await caller.agent(model), "Hi", return_logprobs=True, top_logprobs=2)
    assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED


async def test_the_list_of_models_tells_what_they_can(rig: tuple[Caller, FakeProviders]) -> None:
    caller, _ = rig
    models = {model.handle: model for model in (await caller.models.ListModels(v1.ListModelsRequest())).models}
    assert (models[CHAT].supports_logprobs, models[CHAT].supports_token_ids) == (True, False)
    assert (models[CLAUDE].supports_logprobs, models[CLAUDE].supports_token_ids) == (False, False)
    assert (models["scripted/echo"].supports_logprobs, models["scripted/echo"].supports_token_ids) == (True, True)
    assert models[CLAUDE].HasField("input_microusd_per_mtok")
    assert not models[CHAT].HasField("input_microusd_per_mtok")
