"""What every test runs under: one thread per process, no network, no window."""

from __future__ import annotations

import os
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
def start_states(tiny_model: WorldGPT) -> StartStates:
    """Start states of ``tiny_model``."""
    from tiny_world import build_start_states

    return build_start_states(tiny_model)


@pytest.fixture(scope="session")
def tiny_folder(tiny_model: WorldGPT, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with ``tiny_model`` and its start states, as ``worldgpt train`` leaves it."""
    from tiny_world import save_model

    return save_model(tiny_model, tmp_path_factory.mktemp("models") / "tiny")
