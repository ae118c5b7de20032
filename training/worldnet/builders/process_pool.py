"""Apart: each task in a process of its own, a few at a time; one that dies takes no other along."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

PATIENCE = 10.0  # seconds that a task has to clean up when it is ended

Report = Callable[[int], None]
Task = Callable[[Any, Report], Any]


@dataclass
class _Running:
    name: str
    process: SpawnProcess
    ear: Connection


def run_apart(
    task: Task, settings: Mapping[str, Any], workers: int, progress: Report
) -> tuple[dict[str, Any], dict[str, str]]:
    """Call ``task(settings[name], report)`` for every name, each in a process of its own.

    Args:
        task: a function of a module; what it takes and returns is sent between processes.
        settings: what each task gets.
        workers: how many run side by side.
        progress: called with what the tasks report.

    Returns:
        What the tasks returned, and for those that failed why, by name in the order given.
    """
    context = multiprocessing.get_context("spawn")
    waiting, running = list(settings), list[_Running]()
    results: dict[str, Any] = {}
    failures: dict[str, str] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                name = waiting.pop(0)
                ear, mouth = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(task, settings[name], mouth))
                process.start()
                mouth.close()  # ours; the end of the process then closes the pipe
                running.append(_Running(name, process, ear))
            heard = wait([one.ear for one in running])
            for one in [one for one in running if one.ear in heard]:
                if not _listen(one, progress, results, failures):
                    running.remove(one)
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.join(PATIENCE)
            one.process.kill()
            one.process.join()
    names = list(settings)
    return (
        {name: results[name] for name in names if name in results},
        {name: failures[name] for name in names if name in failures},
    )


def _listen(
    one: _Running, progress: Report, results: dict[str, Any], failures: dict[str, str]
) -> bool:
    """Hear one message; return whether the task still runs."""
    try:
        kind, content = one.ear.recv()
    except EOFError:
        one.process.join()
        if one.name not in results and one.name not in failures:
            failures[one.name] = f"its process died with exit code {one.process.exitcode}"
        return False
    if kind == "progress":
        progress(content)
    else:
        {"result": results, "failure": failures}[kind][one.name] = content
    return True


def _work(task: Task, settings: Any, mouth: Connection) -> None:
    """Do the task in this process and send what came of it.

    The task is left, with whatever it cleans up, when nobody listens any more or the other side
    ends this process; Ctrl-C reaches both and is the other side's to answer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def say(kind: str, content: Any) -> None:
        try:
            mouth.send((kind, content))
        except OSError:  # the other side is gone: there is nobody to tell
            sys.exit(1)

    try:
        say("result", task(settings, lambda count: say("progress", count)))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{where.filename.rsplit('/', 1)[-1]}:{where.lineno}"
        say("failure", f"{type(error).__name__}: {error} ({place})")
