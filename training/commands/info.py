"""``worldgpt info``: versions, worlds and devices."""

from __future__ import annotations

import argparse

from ..results_io import Figures, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no options."""


def run() -> Figures:
    """Run the command and return its figures."""
    from ..info import info

    return show(info())
