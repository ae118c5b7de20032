"""Whatever was changed on disk: the same comes of it, bit for bit, or one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from artifacts import ARTIFACTS
from mutations import GOOD, Trial

SAMPLE = 60
"""Mutations of each artifact that are tried every time; all of them by `make faults`."""


@pytest.mark.filterwarnings("ignore")  # of what was damaged, and is made anew
@pytest.mark.parametrize("name", ARTIFACTS)
def test_some_mutations_do_no_harm(name: str, tmp_path: Path) -> None:
    trial = Trial(ARTIFACTS[name], tmp_path)
    mutations = trial.mutations(flips=12)
    outcomes = [trial.run(mutation) for mutation in mutations[:: len(mutations) // SAMPLE + 1]]
    faults = [outcome for outcome in outcomes if outcome.outcome not in GOOD]
    assert not faults
    assert any(outcome.outcome == "refused" for outcome in outcomes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARTIFACTS)
def test_no_mutation_does_harm(name: str, tmp_path: Path) -> None:
    """In a process of its own, which ends if one fills the memory."""
    script, told = Path(__file__).with_name("mutations.py"), tmp_path / "outcomes.json"
    command = [sys.executable, "-W", "ignore", str(script), name, "--json", str(told)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True)
    assert done.returncode == 0
    outcomes = json.loads(told.read_text())
    assert not [outcome for outcome in outcomes if outcome["outcome"] not in GOOD]
