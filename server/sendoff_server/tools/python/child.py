"""The process of one call of a Python tool: it forks the worker that runs the tool's code, and outlives all of that.

    python -I -B child.py RESULT_FD

One line of JSON on stdin is the order (`worker.work`), and the worker's answer goes to RESULT_FD. When the worker has
ended, or stdin closes, which also happens when the server is killed, every process that came of it is killed, the
folder of the call is removed, and this process ends as the worker did: with its exit code, or 128 and its signal.

Standard library only, and nothing of the server's: it is run by its path, perhaps where it sees nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import select
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

_SET_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG
_BECOME_SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER
_LOST = 125
"""Exit code when no worker could be made."""


def main(result_fd: int) -> NoReturn:
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        os._exit(_LOST)  # the server went away
    order: dict[str, Any] = json.loads(line)
    _prctl(_BECOME_SUBREAPER, 1)
    ended = _told_of_ends()
    supervisor = os.getpid()
    worker = os.fork()
    if worker == 0:
        _work(supervisor, order, result_fd)
    os.close(result_fd)
    _silence(1, 2)
    code = _outcome(worker, ended)
    _kill_all(worker)
    if order["folder"]:
        shutil.rmtree(order["folder"], ignore_errors=True)
    os._exit(code)


def _prctl(option: int, value: int) -> None:
    """Linux's prctl(2); without effect elsewhere."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _told_of_ends() -> int:
    """A file descriptor that can be read whenever a child has ended."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    return readable


def _silence(*descriptors: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


# ---- the worker ----


def _work(supervisor: int, order: dict[str, Any], result_fd: int) -> NoReturn:
    """In the fork: run the tool's code under its limits, in a session of its own."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(_LOST)
        _silence(0)
        _limit(order["limits"])
        work = runpy.run_path(str(Path(__file__).with_name("worker.py")))["work"]
        code = work(order, result_fd)
    finally:
        os._exit(code)


def _limit(limits: dict[str, int]) -> None:
    """Set limits of the operating system, by the names of `resource`'s, where it has them."""
    for name, most in limits.items():
        if (number := getattr(resource, name, None)) is not None:
            hard = resource.getrlimit(number)[1]
            allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(number, (allowed, allowed))


# ---- its end ----


def _outcome(worker: int, ended: int) -> int:
    """Wait until the worker has ended, or the server wants it to; the code to exit with."""
    while True:
        ready, _, _ = select.select([0, ended], [], [])
        if 0 in ready and not os.read(0, 1024):
            return 128 + signal.SIGKILL
        if ended in ready:
            os.read(ended, 1024)
            if (code := _reaped(worker)) is not None:
                return code


def _reaped(worker: int) -> int | None:
    """Take leave of all children that have ended; the worker's code if it is one of them."""
    code = None
    while (found := _next_ended(os.WNOHANG)) is not None and found[0]:
        if found[0] == worker:
            number = os.waitstatus_to_exitcode(found[1])
            code = number if number >= 0 else 128 - number
    return code


def _next_ended(how: int) -> tuple[int, int] | None:
    """A child that has ended and its status, (0, 0) if none has yet. None: there are no children."""
    try:
        return os.waitpid(-1, how)
    except ChildProcessError:
        return None


def _kill_all(worker: int) -> None:
    """Kill everything that came of the worker, whatever session or parent it went to: orphans come to this process."""
    has_proc = os.path.isdir("/proc/self")
    while True:
        if has_proc:
            for process in _descendants(os.getpid()):
                _kill(os.kill, process)
        else:
            _kill(os.killpg, worker)
        if _next_ended(0) is None:
            return


def _kill(kill: Callable[[int, int], None], target: int) -> None:
    try:
        kill(target, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # it is gone, or is not ours any more


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(name))
    found = list(children.get(ancestor, ()))
    for process in found:  # grows as it goes
        found += children.get(process, ())
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]))
