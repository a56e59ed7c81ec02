"""Commands that are invoked in this process find no settings in its environment, and leave its logging alone."""

import pytest

from sendoff_server import logs, settings_flags
from sendoff_server.settings import ProviderSettings, Settings


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in (Settings, ProviderSettings):
        for field in settings.model_fields:
            monkeypatch.delenv(settings_flags.variable(field, settings), raising=False)


@pytest.fixture(autouse=True)
def _logging_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure", lambda log_format, log_level, **_: None)
