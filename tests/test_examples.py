"""Every example runs, with sizes that a test has time for, and does what it promises."""

from __future__ import annotations

import sys
from pathlib import Path

import children
import pytest
from PIL import Image

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
RUNS = {  # arguments, and what the output must hold
    "01_step.py": ([], "uncertainty"),
    "02_dream_gif.py": (["dream.gif", "6"], "wrote dream.gif"),
    "03_ppo_in_imagination.py": (["4096", "3"], "real return"),
    "04_train_world_model.py": (["1500", "30", "120"], "pixels wrong"),
    "05_your_own_world.py": (["2000", "100"], "reward"),
    "06_plan_in_the_dream.py": (["2"], "solved 2 of 2"),
    "07_find_the_way.py": (["1000", "10", "20", "60"], "way.png"),
    "08_dyna_callback.py": (["250", "1"], "with dreams  real return"),
}


@pytest.mark.parametrize("name", sorted(RUNS))
def test_the_example_runs(name: str, tmp_path: Path) -> None:
    arguments, expected = RUNS[name]
    command = [sys.executable, EXAMPLES / name, *arguments]
    printed = children.run_well(command, timeout=400, cwd=tmp_path)
    assert expected in printed, printed
    if name.startswith("02"):
        with Image.open(tmp_path / "dream.gif") as picture:
            assert 2 <= getattr(picture, "n_frames", 1) <= 6


def test_every_example_is_tested_and_short() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(RUNS)
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 60, f"{path.name} is too long"
