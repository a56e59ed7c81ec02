"""`sendoff-server keys`: what is printed, what is refused, and that nothing but the first print has the key."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from sendoff import api_key
from sendoff_server.__main__ import cli
from sendoff_server.access.principal import Role


class Desk:
    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def run(self, *command: str) -> Result:
        return CliRunner().invoke(cli, ["keys", *command, "--data-dir", str(self._data_dir)])

    def told(self, *command: str) -> Any:
        outcome = self.run(*command, "--json")
        assert outcome.exit_code == 0, outcome.output
        return json.loads(outcome.stdout)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "data")


def test_a_new_key_is_all_that_stands_on_standard_output_and_is_never_shown_again(desk: Desk, tmp_path: Path) -> None:
    made = desk.run("create", "--tenant", "acme", "--role", "send-only", "--name", "shop")
    assert made.exit_code == 0
    token = made.stdout.strip()
    key_id = api_key.key_id(token)
    assert key_id is not None
    assert key_id in made.stderr
    assert token not in made.stderr

    for listed in (desk.run("ls").stdout, desk.run("ls", "--json").stdout):
        assert key_id in listed
        assert token[28:] not in listed
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    assert key_id.encode() in stored
    assert token[28:].encode() not in stored


def test_a_key_is_told_with_all_that_it_was_made_with(desk: Desk) -> None:
    made = desk.told("create", "--tenant", "acme", "--role", "operator", "--name", "night shift", "--expires", "90d")
    assert {name: made[name] for name in ("tenant", "role", "name", "certificate", "revoked_at", "last_used_at")} == {
        "tenant": "acme",
        "role": "operator",
        "name": "night shift",
        "certificate": None,
        "revoked_at": None,
        "last_used_at": None,
    }
    ends = datetime.fromisoformat(made["expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=5)
    (listed,) = desk.told("ls")
    assert listed == {**{name: made[name] for name in made if name != "key"}, "state": "active"}


def test_a_key_without_more_is_full_of_the_default_tenant_and_for_ever(desk: Desk) -> None:
    made = desk.told("create")
    assert (made["tenant"], made["role"], made["expires_at"]) == ("default", "full", None)


def test_only_keys_that_count_are_listed_unless_all_are_asked_for(desk: Desk) -> None:
    assert desk.run("ls").stdout == ""
    first, second = desk.told("create", "--tenant", "acme"), desk.told("create", "--tenant", "other")
    assert [key["id"] for key in desk.told("ls", "--tenant", "acme")] == [first["id"]]

    assert desk.run("revoke", first["id"]).exit_code == 0
    assert [key["id"] for key in desk.told("ls")] == [second["id"]]
    listed = desk.told("ls", "--all")
    assert [(key["id"], key["state"]) for key in listed] == [(first["id"], "revoked"), (second["id"], "active")]
    head, *rows = desk.run("ls", "--all").stdout.splitlines()
    assert re.split("  +", head) == ["ID", "TENANT", "ROLE", "NAME", "STATE", "CREATED", "EXPIRES", "LAST USED"]
    assert [row.split()[0] for row in rows] == [first["id"], second["id"]]


def test_a_key_is_revoked_by_its_id_or_by_how_it_begins(desk: Desk) -> None:
    for named in (lambda key: key["id"], lambda key: api_key.shown(key["id"]), lambda key: key["key"]):
        made = desk.told("create")
        assert made["id"] in desk.run("revoke", named(made)).stdout
    assert desk.told("ls") == []


def test_a_key_that_there_is_not_cannot_be_revoked_and_looking_makes_no_database(desk: Desk, tmp_path: Path) -> None:
    assert desk.told("ls") == []
    outcome = desk.run("revoke", "key-0000000000000000")
    assert outcome.exit_code == 1
    assert "there is no key key-0000000000000000" in outcome.stderr
    assert not (tmp_path / "data").exists()


def test_a_key_for_a_certificate_has_no_secret_and_there_is_one_for_each_name(desk: Desk) -> None:
    made = desk.run("create", "--certificate", "spiffe://acme/worker")
    assert re.fullmatch("key-[0-9a-f]{16}", made.stdout.strip())
    again = desk.run("create", "--certificate", "spiffe://acme/worker")
    assert again.exit_code == 1
    assert "stands for the certificate 'spiffe://acme/worker' already" in again.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ("--expires", "90"),
        ("--expires", "0d"),
        ("--expires", "2020-01-01"),
        ("--expires", "soon"),
        ("--tenant", "two words"),
        ("--role", "admin"),
        ("--name", "a\nb"),
    ],
)
def test_what_no_key_can_have_is_refused_and_nothing_is_made(desk: Desk, wrong: tuple[str, str]) -> None:
    outcome = desk.run("create", *wrong)
    assert outcome.exit_code == 2
    assert desk.told("ls", "--all") == []


def test_a_key_may_expire_at_a_moment(desk: Desk) -> None:
    assert desk.told("create", "--expires", "2199-06-30")["expires_at"] == "2199-06-30T00:00:00Z"
    assert desk.told("create", "--expires", "2199-06-30T12:00:00+02:00")["expires_at"] == "2199-06-30T10:00:00Z"


def test_the_help_names_every_role(desk: Desk) -> None:
    told = desk.run("create", "--help").output
    assert all(role in told for role in Role)
