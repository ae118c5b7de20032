"""A process that has imported everything and forks a child for each command of a test.

It reads one JSON request per line and answers one line, see :class:`processes.Zygote`. A child may
be told to send itself a signal right before its n-th operation on the disk, to write no file beyond
a size, to do without the exchange of two folders in one step, to own a terminal, and to ignore
signals as under ``nohup``.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from toy_worlds import CorridorWorld  # noqa: E402

from worldgpt_env.model import safe_io, trainer  # noqa: E402
from worldgpt_env.training import dataset, direct, dyna, knowledge, tuning  # noqa: E402, F401
from worldgpt_env.training.cli import main  # noqa: E402
from worldgpt_env.worlds import register_world  # noqa: E402

OPERATIONS = ("mkdir", "open", "replace", "rename", "rmdir", "unlink", "fsync", "truncate")


def serve() -> None:
    """Answer requests until there are no more."""
    register_world(CorridorWorld)
    trainer.Trainer.__init__.__defaults__ = (15, 20, None)  # saves of a run of 40 updates
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        else:
            answer = os.fork()
            if not answer:
                run(**request)
        print(answer, flush=True)


def run(
    argv: list[str],
    output: str,
    at: int | None,
    number: int,
    two_steps: bool,
    limit: int | None,
    trace: str,
    terminal: str,
    nohup: bool,
) -> None:
    """Be the child: run a command and end."""
    code = 70
    try:
        os.setsid()
        nothing = os.open(terminal or os.devnull, os.O_RDWR)
        if terminal:
            fcntl.ioctl(nothing, termios.TIOCSCTTY, 0)
        own = nothing if terminal else os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for source, target in ((nothing, 0), (nothing, 1), (own, 2)):
            os.dup2(source, target)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for other in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN if nohup else signal.SIG_DFL)
        if two_steps:
            safe_io._exchange = lambda *_: False
        watch(at, number, trace)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        code = main(argv)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def watch(at: int | None, number: int, trace: str) -> None:
    """Count the operations that change the disk; send signal ``number`` before the one ``at``."""
    count = 0
    told = open(trace, "a", buffering=1) if trace else None  # noqa: SIM115

    def watched(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def operate(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            if name != "open" or arguments[1] & (os.O_WRONLY | os.O_RDWR):
                if told is not None:
                    print(count, name, *arguments[:2], time.process_time(), file=told)
                count += 1
                if count - 1 == at:
                    os.kill(os.getpid(), number)
            return operation(*arguments, **options)

        return operate

    for name in OPERATIONS:
        setattr(os, name, watched(name, getattr(os, name)))
    exchange = safe_io._exchange
    safe_io._exchange = watched("exchange", exchange)


if __name__ == "__main__":
    serve()
