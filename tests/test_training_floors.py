"""Floors inside ``training/``: evaluation < benchmark, play, trust, worldnet < commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_architecture import ROOT, SOURCES, imports_of, module_of, where

TRAINING = ROOT / "training"
FLOORS = {"evaluation": 1, "benchmark": 2, "play": 2, "trust": 2, "worldnet": 2, "commands": 3}
HOME = "worldgpt_env.training."


def floor_of(module: str) -> int:
    """Return the floor of a module: the command line is the top, what reads WorldNet the bottom."""
    parts = module.removeprefix(HOME).split(".")
    if parts == ["cli"]:
        return FLOORS["commands"]
    return 0 if parts[:2] == ["worldnet", "format"] else FLOORS.get(parts[0], 0)


@pytest.mark.parametrize("path", [p for p in SOURCES if TRAINING in p.parents], ids=where)
def test_imports_inside_training_go_down_only(path: Path) -> None:
    """Between the folders of ``training/``, imports inside functions too."""
    own = module_of(path)
    upward = [
        (line, name)
        for line, _, name in imports_of(path)
        if name.startswith(HOME) and floor_of(name) > floor_of(own)
        if name.split(".")[2] != own.split(".")[2]
    ]
    assert not upward, f"{where(path)} reaches up to {upward}"
