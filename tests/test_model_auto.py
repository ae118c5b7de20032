"""AutoConfig, AutoModel and AutoProcessor of transformers open what WorldGPT saves."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import torch
from tiny_world import TinyWorld, build_model, save_model, tiny_recording
from transformers import AutoConfig, AutoModel, AutoProcessor

from worldgpt_env.model import WorldGPT, WorldGPTConfig
from worldgpt_env.model.processor import Processor


def test_the_auto_classes_know_a_saved_world(tmp_path: Path) -> None:
    model = build_model()
    folder = save_model(model, tmp_path / "world")
    config = AutoConfig.from_pretrained(folder)
    assert isinstance(config, WorldGPTConfig) and config.world == "tiny"
    again = AutoModel.from_pretrained(folder)
    assert isinstance(again, WorldGPT)
    processor = AutoProcessor.from_pretrained(folder)
    assert isinstance(processor, Processor)
    assert processor.sha256 == again.processor.sha256 == model.processor.sha256


def test_a_processor_is_saved_alone(tmp_path: Path) -> None:
    model = build_model()
    model.processor.save_pretrained(tmp_path / "processor")
    again = Processor.from_pretrained(tmp_path / "processor")
    raw = {m: part[:5] for m, part in tiny_recording().episodes[0].observations.items()}
    one, other = model.encode(raw), again.encode(raw)
    assert all(torch.equal(one[m], other[m]) for m in model.specs)
    assert again.sha256 == model.processor.sha256


def test_what_save_pretrained_writes_opens_as_an_environment(tmp_path: Path) -> None:
    folder = save_model(build_model(), tmp_path / "world")
    WorldGPT.from_pretrained(folder).save_pretrained(tmp_path / "copy")
    env = gym.make("WorldGPT-v0", model=str(tmp_path / "copy"))
    observation, _ = env.reset(seed=0)
    assert set(observation) == set(TinyWorld().observation_space.spaces)
