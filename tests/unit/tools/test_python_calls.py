"""A call of a Python tool is a process of its own: whatever it does, the server has a result and nothing else of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import textwrap
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Any

import psutil
import pytest

from sendoff_server import ids
from sendoff_server.tools.port import ToolResult
from sendoff_server.tools.python.confinement import KEY_VARIABLE
from sendoff_server.tools.python.process import MAX_PRINTED_BYTES
from sendoff_server.tools.python.tools import PythonTools
from tests.unit.tools.python_tools import PATIENCE_S, a_call, gone, processes, some_tools, until

HANG_WITH_CHILDREN = """
import os, subprocess, time
def t():
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    if os.fork() == 0 and os.fork() == 0:
        os.setsid()
        os.execvp("sleep", ["sleep", "1001"])
    while True:
        time.sleep(1000)
"""


@pytest.fixture(params=["unconfined", "confined"])
def python(request: pytest.FixtureRequest) -> PythonTools:
    return some_tools(request.param)


async def called(python: PythonTools, source: str, /, **arguments: Any) -> ToolResult:
    async with asyncio.timeout(PATIENCE_S):
        return await python.call(a_call(textwrap.dedent(source), **arguments))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def t(): return 'text'", "text"),
        ("def t(): return {'a': [1, 2.5, None, True, 'é']}", '{"a": [1, 2.5, null, true, "é"]}'),
        ("def t(): return 0", "0"),
        ("def t(): return None", "(nothing)"),
        ("async def t():\n import asyncio\n await asyncio.sleep(0)\n return 'later'", "later"),
        ("def t(): return 'a\\ud800b'", "a?b"),
        ("def other(): return 'other'\ndef t(): return other() + '!'", "other!"),
        ("import json\nfrom os.path import join\ndef _hidden(): pass\ndef only_one(): return 'one'", "one"),
        ("def t(): import sys; return sys.stdin.read() + 'end'", "end"),
        ("import os, shutil\ndef t():\n shutil.rmtree(os.getcwd(), ignore_errors=True)\n return 'ok'", "ok"),
    ],
)
async def test_what_the_function_returns_is_the_result_as_text(source: str, told: str) -> None:
    result = await called(some_tools("unconfined"), source)
    assert (result.content.text, result.is_error) == (told, False)


async def test_arguments_come_as_json_has_them_and_are_converted_where_annotations_want_more(
    python: PythonTools,
) -> None:
    source = """
        import datetime, enum
        class Colour(enum.Enum):
            RED = "red"
        def t(at: datetime.date, colour: Colour, plain: dict, n: int = 3):
            return [str(at + datetime.timedelta(days=1)), colour.name, plain, n]
        """
    result = await called(python, source, at="2026-02-28", colour="red", plain={"é": [1]})
    assert json.loads(result.content.text) == ["2026-03-01", "RED", {"é": [1]}, 3]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def t():\n  x = 1\n  raise ValueError('no')", "ValueError: no\n  line 3, in t: raise ValueError('no')"),
        ("def t(): raise SystemExit(3)", "SystemExit: 3\n  line 1, in t: def t(): raise SystemExit(3)"),
        ("def t(", "SyntaxError: '(' was never closed"),
        ("1/0\ndef t(): pass", "ZeroDivisionError: division by zero\n  line 1, in <module>: 1/0"),
        ("x = 1", "it defines no public function"),
        ("def a(): pass\ndef b(): pass", "it defines several public functions (a, b) and none is called t"),
        ("def t(): return b'x'", "TypeError: the tool returned what JSON cannot hold"),
        ("def t(): return float('nan')", "TypeError: the tool returned what JSON cannot hold"),
        ("def t(n): return n", "TypeError: t() missing 1 required positional argument: 'n'"),
        ("import os\ndef t(): os._exit(7)", "the tool's process ended before it returned, with exit code 7"),
        (
            "import os\ndef t(): os.kill(os.getpid(), 9)",
            "the tool's process ended before it returned: it was killed by SIGKILL",
        ),
        ("class E(Exception):\n def __str__(self): 1/0\ndef t(): raise E", "E: (its message cannot be made)"),
        ("def t(): return len(bytearray(4 << 30))", "MemoryError"),
        ("def t():\n with open('big', 'wb') as f:\n  for _ in range(100): f.write(bytes(1 << 20))", "OSError"),
    ],
)
async def test_what_goes_wrong_in_a_tool_is_a_result_that_tells_what_and_where(source: str, told: str) -> None:
    result = await called(some_tools("unconfined"), source)
    assert result.is_error
    assert result.content.text.startswith(told)
    assert str(Path(__file__).parents[3]) not in result.content.text


async def test_what_a_tool_prints_is_kept_by_lines_and_apart_from_its_result(python: PythonTools) -> None:
    source = "import sys\ndef t():\n print('a\\nb')\n print('\\ud800', file=sys.stderr)\n return 'c'"
    result = await called(python, source)
    assert (result.content.text, result.stdout, result.stderr) == ("c", ["a", "b"], ["\\ud800"])


async def test_bytes_that_are_no_text_do_no_harm_wherever_a_tool_writes_them(python: PythonTools) -> None:
    source = """
        import os
        def t():
            for descriptor in range(1, 64):
                try:
                    os.write(descriptor, b"\\xff\\xfe")
                except OSError:
                    pass
            return "never read"
        """
    result = await called(python, source)
    assert (result.content.text, result.is_error) == ("the tool's process ended before it returned", True) or (
        result.is_error and "exit code 0" in result.content.text
    )
    assert result.stdout == ["\ufffd\ufffd"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ('{"text": "a\\ud800b"}', "a?b"),
        ('{"text": ["no text"]}', "['no text']"),
        ('{"description": 1}', "the tool's process ended before it returned"),
        ("[" * 100_000, "the tool's process ended before it returned, with exit code 0"),
        ('{"text": "' + "x" * 1_100_000 + '"}', "x" * 1_000_000),
    ],
)
async def test_a_tool_that_answers_for_its_worker_does_no_harm(answer: str, told: str) -> None:
    result = await called(some_tools("unconfined"), _ANSWERING, answer=answer)
    assert result.content.text == told


_ANSWERING = """
import os
def t(answer: str):
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.write(int(name), answer.encode())
            except OSError:
                pass
    os._exit(0)
"""


async def test_output_without_end_is_cut_and_held_in_no_memory(python: PythonTools) -> None:
    source = "import sys\ndef t():\n for _ in range(320): sys.stdout.write('x' * 99_999 + '\\n')\n return 'done'"
    result = await called(python, source)
    assert result.content.text == "done"
    assert result.stdout is not None
    assert sum(map(len, result.stdout)) < MAX_PRINTED_BYTES + 100
    assert result.stdout[-1] == f"... [truncated {32_000_000 - MAX_PRINTED_BYTES} bytes]"


async def test_a_result_of_ten_megabytes_is_cut(python: PythonTools) -> None:
    result = await called(python, "def t(): return '\\U0001f642' * 10_000_000")
    assert not result.is_error
    assert len(result.content.text) <= 1_000_000
    kept, _, note = result.content.text.partition("... [truncated ")
    assert int(note.removesuffix(" chars]")) == 10_000_000 - len(kept)


async def test_a_tool_has_nothing_of_the_servers_but_its_own_empty_home_and_its_key(
    python: PythonTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    source = """
        import os
        def t():
            home = os.environ["HOME"]
            return [dict(os.environ), os.listdir(home), os.path.samefile(home, os.getcwd())]
        """
    environment, files, is_at_home = json.loads((await called(python, source, key="the key")).content.text)
    assert environment.keys() <= {"PATH", "LANG", "HOME", "TMPDIR", "PWD", "LC_CTYPE", KEY_VARIABLE}
    assert environment[KEY_VARIABLE] == "the key"
    assert (files, is_at_home) == ([], True)


async def test_a_tool_holds_no_file_of_the_servers_open(python: PythonTools, tmp_path: Path) -> None:
    held = os.open(tmp_path / "held", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(held, True)
    try:
        source = "import os\ndef t(): return [os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')]"
        result = await called(python, source.replace("]", " if os.path.exists(f'/proc/self/fd/{n}')]"))
    finally:
        os.close(held)
    assert "held" not in result.content.text


async def test_a_call_leaves_no_process_and_no_folder(
    python: PythonTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = """
        import subprocess
        def t():
            open("left", "w").write("x")
            subprocess.Popen(["sleep", "1000"], start_new_session=True)
            return "returned"
        """
    key = ids.new("key")
    assert (await called(python, source, key=key)).content.text == "returned"
    await gone(processes(key))
    assert os.listdir(tmp_path) == []


async def test_a_cancelled_call_leaves_no_process_and_no_folder(
    python: PythonTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    key = ids.new("key")
    calling = asyncio.create_task(python.call(a_call(HANG_WITH_CHILDREN, key=key)))
    await until(lambda: len(_sleeping(key)) == 2)
    started = processes(key)
    calling.cancel()
    await asyncio.sleep(0)
    calling.cancel()  # impatience changes nothing
    with pytest.raises(asyncio.CancelledError):
        await calling
    await gone(started)
    assert not processes(key)
    assert os.listdir(tmp_path) == []


async def test_a_call_can_be_cancelled_at_its_very_beginning(python: PythonTools) -> None:
    key = ids.new("key")
    for turns in range(12):
        calling = asyncio.create_task(python.call(a_call("def t(): return 1", key=key)))
        for _ in range(turns):
            await asyncio.sleep(0)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
    await gone(processes(key))


@pytest.mark.parametrize("kind", ["unconfined", "confined"])
async def test_a_tool_does_not_outlive_a_server_that_is_killed(kind: str) -> None:
    bwrap = some_tools(kind)._confinement.bwrap
    key = ids.new("key")
    program = f"""
import asyncio
from sendoff_server.tools.python.confinement import Confinement
from sendoff_server.tools.python.tools import PythonTools
from tests.unit.tools.python_tools import a_call
python = PythonTools(Confinement({bwrap!r}), memory_bytes=1 << 29, at_once=1)
asyncio.run(python.call(a_call({HANG_WITH_CHILDREN!r}, key={key!r})))
"""
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=_environment(), stdin=DEVNULL)
    try:
        await until(lambda: len(_sleeping(key)) == 2)
        started = processes(key)
    finally:
        server.send_signal(signal.SIGKILL)
        await server.wait()
    await gone(started)
    assert not processes(key)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_calls_leave_no_file_open_on_either_loop(loop: str) -> None:
    pytest.importorskip(loop)
    program = f"""
import asyncio, os, {loop}
from sendoff_server.tools.python.confinement import Confinement
from sendoff_server.tools.python.tools import PythonTools
from tests.unit.tools.python_tools import a_call
async def main():
    python = PythonTools(Confinement(None), memory_bytes=1 << 29, at_once=4)
    opened = []
    for _ in range(3):
        await asyncio.gather(*(python.call(a_call("def t(): return 1")) for _ in range(2)))
        opened.append(len(os.listdir("/proc/self/fd")))
    print(opened[0] == opened[-1], opened)
{loop}.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "-c", program), env=_environment(), stdout=PIPE, stderr=PIPE
    )
    stdout, stderr = await process.communicate()
    assert stdout.startswith(b"True"), (stdout, stderr)
    assert b"ResourceWarning" not in stderr


async def test_no_more_processes_run_at_once_than_allowed() -> None:
    python = PythonTools(some_tools("unconfined")._confinement, memory_bytes=1 << 29, at_once=1)
    key = ids.new("key")
    hanging = asyncio.create_task(python.call(a_call(HANG_WITH_CHILDREN, key=key)))
    await until(lambda: _sleeping(key))
    waiting = asyncio.create_task(python.call(a_call("def t(): return 'next'")))
    await asyncio.sleep(0)
    assert not waiting.done()
    hanging.cancel()
    async with asyncio.timeout(PATIENCE_S):
        assert (await waiting).content.text == "next"


async def test_a_confined_tool_has_no_network_and_sees_no_file_of_the_servers(tmp_path: Path) -> None:
    python = some_tools("confined")
    (tmp_path / "sendoff.db").write_text("secret")
    source = f"""
        import os, socket, urllib.request
        def t():
            listener = socket.socket()
            faults = []
            for act in (
                lambda: socket.create_connection(("192.0.2.1", 80), 2),
                lambda: open({str(tmp_path / "sendoff.db")!r}),
                lambda: open("/etc/passwd"),
                lambda: open("/usr/x", "w"),
                lambda: open("/x", "w"),
                lambda: open("/sendoff/x", "w"),
            ):
                try:
                    act()
                    faults.append("it could")
                except OSError as error:
                    faults.append(type(error).__name__)
            return [faults, len([name for name in os.listdir("/proc") if name.isdigit()]) < 8]
        """
    faults, sees_only_its_own = json.loads((await called(python, source)).content.text)
    assert faults == ["OSError", "FileNotFoundError", "FileNotFoundError", "OSError", "OSError", "OSError"]
    assert sees_only_its_own


def _environment() -> dict[str, str]:
    """That of a process which imports what this one does."""
    root = str(Path(__file__).parents[3])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, f"{root}/client", f"{root}/server"])}


def _sleeping(key: str) -> list[psutil.Process]:
    """The children that HANG_WITH_CHILDREN makes, once they are at it."""
    found = []
    for process in processes(key):
        try:
            if process.name() == "sleep":
                found.append(process)
        except psutil.Error:
            continue
    return found
