"""``worldgpt worldnet inspect``: what a WorldNet folder holds, and how some of it looks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results_io import Figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="or a json file")
    parser.add_argument("--check", action="store_true", help="read every media file too")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="draw some transitions")
    parser.add_argument("--rows", type=int, help="of the sheet; default: 8")
    parser.add_argument("--seed", type=int, help="of the sheet")
    parser.add_argument("--split", help="of the sheet; default: train")


def run(**options: Any) -> Figures:
    """Print the tables, draw the sheet, and return the figures."""
    from ..worldnet.format.sheet import draw_sheet
    from ..worldnet.inspection import InspectConfig, inspect

    config = InspectConfig(**options)
    inspection = inspect(config)
    print(inspection.tables())
    if config.sheet is not None:
        draw_sheet(config.data, config.sheet, config.split, config.rows, config.seed)
        print(f"\nsheet: {config.sheet}")
    return inspection.to_json()
