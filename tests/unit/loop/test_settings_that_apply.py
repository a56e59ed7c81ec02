"""Whose settings count, and which of them a model is called with."""

from __future__ import annotations

import pytest

from sendoff import v1
from sendoff_server.agents.names import made_up
from sendoff_server.errors import Unsupported
from sendoff_server.model_settings import applicable, check_applicable, settings_of, window_limit_of

PLAIN = v1.Model(handle="a/plain", supported_settings=["temperature"])


def test_what_a_model_cannot_be_set_to_is_refused_by_name_and_left_out_by_others() -> None:
    wanted = v1.ModelSettings(temperature=0.5, seed=3, verbosity=v1.VERBOSITY_LOW)
    with pytest.raises(Unsupported) as caught:
        check_applicable(wanted, PLAIN, "agent.model_settings")
    named = [each.field for each in caught.value.violations]
    assert named == ["agent.model_settings.seed", "agent.model_settings.verbosity"]
    assert applicable(wanted, PLAIN) == v1.ModelSettings(temperature=0.5)


def test_what_changes_nothing_is_taken_for_every_model_and_not_told_to_it() -> None:
    wanted = v1.ModelSettings(temperature=1, top_p=1, frequency_penalty=0, strict=False)
    bare = v1.Model(handle="a/bare")
    check_applicable(wanted, bare, "agent.model_settings")
    assert applicable(wanted, bare) == v1.ModelSettings()


def test_an_agent_that_calls_one_tool_at_a_time_still_does() -> None:
    agent = v1.Agent(parallel_tool_calls=False)
    assert settings_of(agent, None) == v1.ModelSettings(parallel_tool_calls=False)
    own = v1.Agent(parallel_tool_calls=False, model_settings=v1.ModelSettings(parallel_tool_calls=True))
    assert settings_of(own, None).parallel_tool_calls


def test_the_limit_of_a_conversation_wins() -> None:
    agent = v1.Agent(context_window_limit=400)
    assert window_limit_of(agent, None) == window_limit_of(agent, v1.Conversation()) == 400
    assert window_limit_of(agent, v1.Conversation(context_window_limit=9_000)) == 9_000


def test_a_made_up_name_stays_that_of_its_agent() -> None:
    names = {made_up(f"agent-{number}") for number in range(200)}
    assert made_up("agent-1") == made_up("agent-1")
    assert len(names) > 100
