"""Servers in this process whose scripted model calls stop where a test wants them."""

from __future__ import annotations

from functools import partial

import pytest

from sendoff_server.models import scripted
from sendoff_server.models.port import ModelCall
from tests.fixtures.scripted_gate import HeldCalls


def hold_calls(monkeypatch: pytest.MonkeyPatch, held: HeldCalls) -> HeldCalls:
    """Servers that are started from now on have their scripted calls go through that gate."""
    monkeypatch.setattr(scripted, "ScriptedModels", partial(scripted.ScriptedModels, gate=held))
    return held


def at(chunk: int, marker: str = "") -> HeldCalls:
    """A gate that holds calls before that chunk, and only those whose newest input contains the marker."""

    def holds(call: ModelCall, sent: int) -> bool:
        return sent == chunk and marker in scripted.last_user_text(call.messages)

    return HeldCalls(holds)
