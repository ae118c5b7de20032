"""Processes that tests start: with signal dispositions of their own, and never left behind.

Which signals are ignored or blocked is inherited: a suite that was started by ``nohup`` or in the
background would start children that no Ctrl-C reaches. These forget it first. They lead a process
group that is killed at the end of the test, and die when the test's own process does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_START = """\
import ctypes, os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    try:
        signal.signal(number, signal.SIG_DFL)
    except OSError:
        pass
signal.pthread_sigmask(signal.SIG_SETMASK, [])
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("the test that started this process is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""


@contextlib.contextmanager
def child(command: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start ``command``; kill its process group at the end, whatever the test did.

    Args:
        command: the program and its arguments.
        options: of ``subprocess.Popen``; the streams are text.
    """
    start = [sys.executable, "-I", "-S", "-c", _START, str(os.getpid()), *map(str, command)]
    options = {"stdin": subprocess.DEVNULL, "text": True} | options
    process = subprocess.Popen(start, process_group=0, **options)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def run(
    command: Sequence[str | Path], timeout: float | None = 120, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end and return what it printed; see :func:`child`.

    Raises:
        subprocess.TimeoutExpired: it runs longer than ``timeout`` seconds.
    """
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with child(command, **streams, **options) as process:
        printed, complained = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, printed, complained)


def run_well(command: Sequence[str | Path], timeout: float | None = 120, **options: Any) -> str:
    """Run ``command``, which must end with exit code 0, and return what it printed."""
    done = run(command, timeout, **options)
    assert done.returncode == 0, f"exit code {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
