"""``worldgpt info``: versions, worlds, devices, and what is promised of rows dreamt together."""

from __future__ import annotations

import argparse
from typing import Any

from ..figures import Figures, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--model", help="whose rows are measured; default: all embedded worlds")
    parser.add_argument("--device", help="where they are measured; default: cpu")


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    from ..info import info

    return show(info(**options))
