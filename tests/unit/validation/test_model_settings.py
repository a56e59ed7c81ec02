"""Settings that only together are wrong."""

from __future__ import annotations

import pytest

from sendoff import v1
from tests.unit.validation.checking import violated
from tests.unit.validation.settings_cases import compaction, settings


def test_an_effort_and_a_number_of_tokens_for_reasoning_exclude_each_other() -> None:
    asked = settings(reasoning_effort=v1.REASONING_EFFORT_LOW, max_reasoning_tokens=1_024)
    assert violated(asked) == ["agent.model_settings.max_reasoning_tokens"]


@pytest.mark.parametrize("mode", [v1.COMPACTION_MODE_ALL, v1.COMPACTION_MODE_SELF_COMPACT_ALL])
def test_a_mode_that_keeps_nothing_has_no_window_to_slide(mode: v1.CompactionMode.ValueType) -> None:
    asked = compaction(mode=mode, sliding_window_percentage=0.5)
    assert violated(asked) == ["agent.compaction_settings.sliding_window_percentage"]


def test_an_agent_that_compacts_by_itself_has_no_other_model_for_it() -> None:
    mode = v1.COMPACTION_MODE_SELF_COMPACT_SLIDING_WINDOW
    asked = compaction(mode=mode, model="a/b", model_settings=v1.ModelSettings(temperature=1), clip_chars=10)
    assert violated(asked) == ["agent.compaction_settings.model", "agent.compaction_settings.model_settings"]


def test_no_number_is_in_no_range() -> None:
    assert violated(settings(temperature=float("nan"))) == ["agent.model_settings.temperature"]
