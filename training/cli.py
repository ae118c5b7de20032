"""The command line ``worldgpt``: from recording a real world to judging what dreamt of it."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from worldgpt_env.model.errors import ConfigurationError, WorldGPTError

from .commands.table import add_commands
from .commands.top_level import COMMANDS
from .commands.worldnet import add_worldnet
from .parsers import LateParser
from .results_io import Figures, write_json


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM); everything is saved as on Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: done. 2: the command, its input or the world is at fault, as one sentence says. 130 or 143:
    stopped by Ctrl-C or SIGTERM; the same command goes on.
    """
    options = vars(build_parser().parse_args(arguments))
    command: Callable[..., Figures] = options.pop("command")
    path, threads, light = (options.pop(name) for name in ("json", "threads", "light"))
    main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, _terminate) if main_thread else None
    try:
        if not light:
            _set_threads(threads)
        figures = command(**options)
        if path is not None:
            write_json(path, figures)
    except (WorldGPTError, OSError) as error:
        print(f"worldgpt: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print("\nworldgpt: stopped; the same command goes on.", file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 130
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, previous)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; nothing heavy is imported for it."""
    parser = argparse.ArgumentParser(
        prog="worldgpt",
        description="Learned multimodal worlds: record a real one, learn it, train in the dream, "
        "judge in the real one.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=LateParser)
    parsers = add_commands(commands, COMMANDS)
    parsers["evaluate"].instead["worldnet"] = add_worldnet(commands)
    return parser


def _set_threads(threads: int) -> None:
    """Let torch compute with ``threads`` threads."""
    if threads < 1:
        raise ConfigurationError(f"--threads is {threads}; use a whole number from 1.")
    import torch

    torch.set_num_threads(threads)


def _terminate(number: int, frame: Any) -> None:
    raise Terminated
