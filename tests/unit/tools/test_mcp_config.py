"""The operator's file of MCP servers: what it may say, and that its secrets stay there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sendoff import v1
from sendoff_server.tools.mcp.config import BadMcpServers, HttpServer, StdioServer, from_json, read


def parsed(entry: object, name: str = "one", **environment: str) -> StdioServer | HttpServer:
    config = from_json(json.dumps({"mcpServers": {name: entry}}), environment)[name]
    assert isinstance(config, StdioServer | HttpServer)
    return config


def fault(entry: object, name: str = "one", **environment: str) -> str:
    with pytest.raises(BadMcpServers) as caught:
        parsed(entry, name, **environment)
    return str(caught.value)


def test_the_well_known_form_is_read() -> None:
    servers = from_json(
        '{"mcpServers": {"time": {"command": "uvx", "args": ["mcp-server-time"], "env": {"A": "b"}},'
        ' "search": {"type": "http", "url": "https://example.com/mcp", "headers": {"X-Key": "k"}}}}',
        {},
    )

    time, search = servers.values()
    assert list(servers) == ["time", "search"]
    assert isinstance(time, StdioServer)
    assert (time.command, time.args, time.env["A"].get_secret_value()) == ("uvx", ("mcp-server-time",), "b")
    assert isinstance(search, HttpServer)
    assert search.url.get_secret_value() == "https://example.com/mcp"
    assert search.headers["X-Key"].get_secret_value() == "k"


def test_what_is_configured_of_tools_holds_for_them() -> None:
    config = parsed(
        {
            "command": "x",
            "effects": {"a": "IDEMPOTENT"},
            "tools": ["a", "b"],
            "requires_approval": ["b"],
            "timeout_s": 5,
        }
    )

    assert config.effect("a") == v1.TOOL_EFFECT_IDEMPOTENT
    assert config.effect("b") is None
    assert (config.approval("a"), config.approval("b")) == (False, True)
    assert config.named_tools == {"a", "b"}
    assert parsed({"command": "x", "requires_approval": True}).approval("any")


def test_variables_are_taken_from_the_environment() -> None:
    config = parsed({"url": "https://${HOST}/mcp", "headers": {"A": "Bearer ${T}"}}, HOST="example.com", T="t")

    assert isinstance(config, HttpServer)
    assert config.url.get_secret_value() == "https://example.com/mcp"
    assert config.headers["A"].get_secret_value() == "Bearer t"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, "either command or url"),
        ({"command": "x", "url": "https://a"}, "either command or url"),
        ("x", "either command or url"),
        ({"command": "x", "comand": "y"}, "comand: there is no such member; there are args, command"),
        ({"command": "x", "headers": {}}, "headers: there is no such member"),
        ({"command": ""}, "command: "),
        ({"command": "x", "type": "http"}, "type: Input should be 'stdio'"),
        ({"url": "https://a", "type": "sse"}, "type: Input should be 'http' or 'streamable-http'"),
        ({"url": "ftp://a"}, "url: expected an absolute http or https URL"),
        ({"url": "https://"}, "url: expected an absolute http or https URL"),
        ({"command": "x", "env": {"A": "${GONE}"}}, "env.A: the variable GONE is not set"),
        ({"command": "x", "env": {"A": "${1}"}}, "env.A: expected ${NAME}"),
        ({"command": "x", "env": {"A": "a\0"}}, "env.A: it has a NUL character"),
        ({"command": "x", "env": {"A": 1}}, "env.A: Input should be a valid string"),
        ({"url": "https://a", "headers": {"A": "a\r\nB: c"}}, "headers.A: expected one line"),
        ({"url": "https://a", "headers": {"A B": "c"}}, "headers.A B"),
        ({"command": "x", "effects": {"a": "TWICE"}}, "effects.a: Input should be 'READ_ONLY', 'IDEMPOTENT' or 'ONCE'"),
        ({"command": "x", "timeout_s": 0}, "timeout_s: "),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(entry: object, expected: str) -> None:
    told = fault(entry)

    assert "server 'one': " in told
    assert expected in told


@pytest.mark.parametrize("name", ["", "a b", "a.b", "x" * 33, "ä"])
def test_a_name_that_no_tool_could_have_is_refused(name: str) -> None:
    assert "its name is not 1 to 32" in fault({"command": "x"}, name)


@pytest.mark.parametrize("text", ["{}", "[]", '{"mcpServers": []}', '{"mcpServers": {}, "servers": {}}'])
def test_a_file_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(BadMcpServers, match="and nothing beside it"):
        from_json(text, {})


@pytest.mark.parametrize(
    "text", ["", "{", '{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}', "[" * 100_000]
)
def test_what_is_not_json_or_says_a_thing_twice_is_refused(text: str) -> None:
    with pytest.raises(BadMcpServers, match=r"JSON|nested"):
        from_json(text, {})


def test_all_faults_are_told_at_once_each_with_its_server_and_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text('{"mcpServers": {"a": {}, "b": {"command": "", "x": 1}}}')

    with pytest.raises(BadMcpServers) as caught:
        read(file)

    lines = str(caught.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [[str(file), f"server {name!r}"] for name in ("a", "b", "b")]


def test_a_file_that_is_not_there_is_told_and_no_file_is_no_servers(tmp_path: Path) -> None:
    with pytest.raises(BadMcpServers, match="No such file"):
        read(tmp_path / "gone.json")
    assert read(None) == {}


def test_secrets_are_shown_by_nothing_that_shows_a_configuration() -> None:
    config = parsed({"url": "https://ann:hunter22@a/mcp", "headers": {"A": "Bearer ${T}"}}, T="s3cret-token")

    assert not {"hunter22", "s3cret"} & {word for word in ("hunter22", "s3cret") if word in repr(config) + config.where}
    assert config.blotted("no: s3cret-token") == "no: ***"
    assert config.blotted("at https://ann:hunter22@a/mcp") == "at ***"


def test_a_secret_that_is_refused_is_not_told() -> None:
    assert "s3cret" not in fault({"url": "ftp://s3cret", "headers": {"A": " s3cret "}, "env": {"A": "s3cret"}})
