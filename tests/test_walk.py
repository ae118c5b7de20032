"""One ``env.step``, as docs/walk.py walks it: nothing is done twice."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_FILES = 19


@pytest.fixture(scope="module")
def walk() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_walk", ROOT / "docs" / "walk.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for themselves
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("render", [False, True])
@pytest.mark.parametrize("obs_mode", ["decoded", "latent"])
def test_a_step_does_nothing_twice(walk: ModuleType, obs_mode: str, render: bool) -> None:
    figures = walk.walk("doorkey", obs_mode, render).figures()
    assert figures["action checked"] == figures["finiteness checked"] == 1
    assert figures["text decoded"] == figures["latents computed"] == 1
    assert figures["image decoded"] == (obs_mode == "decoded" or render)
    drawn = ["worldgpt_env/rendering.py", "model/modalities.py"] if render else []
    assert figures["files"] <= MOST_FILES + len(drawn), "see docs/architecture.md: a step walked"


def test_the_walk_sees_what_is_done_twice(walk: ModuleType) -> None:
    found = walk.Walk([("a.py", "Codec.decode", "image"), ("b.py", "f", ""),
                       ("a.py", "Codec.decode", "image")])  # fmt: skip
    assert found.figures()["image decoded"] == 2 and found.figures()["moves"] == 2
    assert found.files == ["a.py", "b.py"]
