"""What every test runs under: one thread per process, no network, no window."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from worldgpt_env.model import WorldGPT
    from worldgpt_env.start_states import StartStates

os.environ.setdefault("OMP_NUM_THREADS", "1")  # faster than two for tensors this small
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")


@pytest.fixture(scope="session")
def tiny_model() -> WorldGPT:
    """A model of every modality with random weights; shared, so leave it as it is."""
    from tiny_world import build_model

    return build_model()


@pytest.fixture(scope="session")
def endless_model() -> WorldGPT:
    """The model of ``tiny_model``, but that its world never ends."""
    from tiny_world import build_model, set_end

    model = build_model()
    set_end(model, -30.0)
    return model


@pytest.fixture(scope="session")
def start_states(tiny_model: WorldGPT) -> StartStates:
    """Start states of ``tiny_model``."""
    from tiny_world import build_start_states

    return build_start_states(tiny_model)


@pytest.fixture(scope="session")
def tiny_folder(tiny_model: WorldGPT, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with ``tiny_model`` and its start states, as ``worldgpt train`` leaves it."""
    from tiny_world import save_model

    return save_model(tiny_model, tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def corridor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording of the corridor, one held out, and a model learned from the first.

    ``recording`` (1 500 random steps), ``held_out`` (500), ``model`` (500 updates, 10 CPU-seconds).
    """
    from toy_worlds import CorridorWorld

    from worldgpt_env.training.collect import CollectConfig, collect
    from worldgpt_env.training.train import TrainConfig, train
    from worldgpt_env.worlds import register_world

    register_world(CorridorWorld)
    folder = tmp_path_factory.mktemp("corridor")
    collect(CollectConfig("corridor", 1500, str(folder / "recording")))
    collect(CollectConfig("corridor", 500, str(folder / "held_out"), seed=9))
    recorded = (folder / "recording",)
    train(TrainConfig(recorded, folder / "model", "tiny", updates=500, rows=64, horizon=20))
    return folder
