"""The command line ``worldgpt``: from recording a real world to judging what dreamt of it."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from worldgpt_env.model.arguments import check_whole
from worldgpt_env.model.errors import ConfigurationError, WorldGPTError
from worldgpt_env.model.safe_io import RunLock

from .commands.table import add_commands
from .commands.top_level import COMMANDS
from .commands.worldnet import add_worldnet
from .parsers import CommandParser, LateParser
from .results_io import Figures, write_json


class Terminated(KeyboardInterrupt):
    """SIGTERM asked the process to end, or SIGHUP: everything is saved as on Ctrl-C."""

    def __init__(self, number: int) -> None:
        """Keep the ``number`` of the signal."""
        super().__init__(number)
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: done. 2: the command, its input, the disk or the world is at fault, as one sentence says.
    130, 143 or 129: stopped by Ctrl-C, SIGTERM or SIGHUP (the terminal was closed); the same
    command goes on.
    """
    try:
        with _stopped_by_signals():
            _run(vars(build_parser().parse_args(arguments)))
    except (WorldGPTError, OSError) as error:
        _say(f"worldgpt: {error}")
        return 2
    except KeyboardInterrupt as error:
        _say("\nworldgpt: stopped; the same command goes on.")
        return 128 + getattr(error, "number", signal.SIGINT)
    return 0


def _run(options: dict[str, Any]) -> None:
    """Run the command that was parsed, and write its figures where they are wanted."""
    command: Callable[..., Figures] = options.pop("command")
    path, threads, light = (options.pop(name) for name in ("json", "threads", "light"))
    for module in options.pop("modules", []):
        _import(module)
    if path is not None:
        _check_target(path)
    check_whole("--threads", threads, 1, 1024)
    with _locked(path):
        if not light:
            _set_threads(threads)
        figures = command(**options)
        if path is not None:
            write_json(path, figures)


def _say(sentence: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        print(sentence, file=sys.stderr)


def _import(module: str) -> None:
    """Import what registers worlds, from here as ``python -m`` would.

    Raises:
        ConfigurationError: there is no such module, or it fails.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"--import {module}: {error}; name a module, as my_worlds for my_worlds.py here."
        ) from error
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"--import {module}: the module fails with {told}") from error


def _check_target(path: Path) -> None:
    """Refuse a file of ``--json`` that cannot be written, before the command has worked for it."""
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        why = "is a folder" if path.is_dir() else f"cannot be written in {folder}"
        raise ConfigurationError(f"--json {path} {why}; name another file.")


def _locked(path: Path | None) -> AbstractContextManager[Any]:
    """Return a lock on the file of ``--json``; one in a folder to be made needs none."""
    return nullcontext() if path is None or not path.parent.is_dir() else RunLock(path)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, unless they are ignored (``nohup``).

    Errors of the disk in TensorBoard's own thread are not printed: they come to this one too.
    """
    before = {}
    print_error = threading.excepthook
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, _terminate)
    try:
        threading.excepthook = lambda e: (
            None if isinstance(e.exc_value, OSError) else print_error(e)
        )
        yield
    finally:
        threading.excepthook = print_error
        for number, handler in before.items():
            signal.signal(number, handler)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; nothing heavy is imported for it."""
    parser = CommandParser(
        prog="worldgpt",
        description="Learned multimodal worlds: record a real one, learn it, train in the dream, "
        "judge in the real one.",
    )
    version = importlib.metadata.version("worldgpt-env")
    parser.add_argument("--version", action="version", version=f"worldgpt-env {version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=LateParser)
    parsers = add_commands(commands, COMMANDS)
    parsers["evaluate"].instead["worldnet"] = add_worldnet(commands)
    return parser


def _set_threads(threads: int) -> None:
    """Let torch compute with ``threads`` threads."""
    import torch

    torch.set_num_threads(threads)


def _terminate(number: int, frame: Any) -> None:
    raise Terminated(number)
