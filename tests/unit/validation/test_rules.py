"""Each rule that stands in the contract's comments holds, and no other does."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from sendoff_server.server_info import SERVICE_FILES
from tests.unit.contract_snapshot.contract import contract
from tests.unit.validation import rule_cases
from tests.unit.validation.callback_cases import DELIVERIES, ENDPOINTS, RECEIVING
from tests.unit.validation.callback_option_cases import CALLBACK_OPTIONS
from tests.unit.validation.checking import CHECKS, violated
from tests.unit.validation.dispatch_cases import AUDIT, DISPATCH
from tests.unit.validation.file_cases import FILES, STEPS
from tests.unit.validation.list_cases import LISTS
from tests.unit.validation.rule_cases import Field
from tests.unit.validation.settings_cases import SETTINGS
from tests.unit.validation.tool_rule_cases import TOOL_RULES

FIELDS = (
    *rule_cases.FIELDS,
    *CALLBACK_OPTIONS,
    *TOOL_RULES,
    *FILES,
    *STEPS,
    *LISTS,
    *ENDPOINTS,
    *DELIVERIES,
    *RECEIVING,
    *SETTINGS,
    *DISPATCH,
    *AUDIT,
)

CASES = [
    pytest.param(field, bad, good, id=f"{field.name}: {rule}")
    for field in FIELDS
    for rule, (bad, good) in field.rules.items()
]


@pytest.mark.parametrize(("field", "bad", "good"), CASES)
def test_a_request_that_breaks_one_rule_is_refused_with_that_field_and_no_other(
    field: Field, bad: Any, good: Any
) -> None:
    assert violated(field.make(bad)) == [field.at]


@pytest.mark.parametrize(("field", "bad", "good"), CASES)
def test_a_value_at_the_edge_of_a_rule_is_accepted(field: Field, bad: Any, good: Any) -> None:
    request: Message = field.make(good)
    assert violated(request) == []


def test_every_rule_of_the_contract_has_a_case_and_every_case_a_rule() -> None:
    written = {(entry.name, rule) for entry in contract() for rule in entry.rules}
    tried = {(field.name, rule) for field in FIELDS for rule in field.rules}
    assert tried == written
    assert len(written) > 100


def test_every_request_that_has_fields_has_a_check() -> None:
    requests = {
        method.input_type.name
        for file in SERVICE_FILES
        for service in file.services_by_name.values()
        for method in service.methods
        if method.input_type.fields
    }
    assert set(CHECKS) == requests
