"""``worldgpt worldnet inspect``: what a WorldNet folder holds, and how some of it looks."""

from __future__ import annotations

import argparse
from typing import Any

from ..options import add_options
from ..results_io import Figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_options(parser, "worldnet.inspection.InspectConfig")


def run(**options: Any) -> Figures:
    """Print the tables, draw the sheet, and return the figures."""
    from ..worldnet.format.contact_sheet import draw_sheet
    from ..worldnet.inspection import InspectConfig, inspect

    config = InspectConfig(**options)
    inspection = inspect(config)
    print(inspection.tables())
    if config.sheet is not None:
        draw_sheet(config.data, config.sheet, config.split, config.rows, config.seed)
        print(f"\nsheet: {config.sheet}")
    return inspection.to_json()
