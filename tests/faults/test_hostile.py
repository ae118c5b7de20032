"""Configurations that ask for the impossible are refused in one sentence, and at once."""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from artifacts import build_model, reseal_folder, use_model

from worldgpt_env.model.errors import CheckpointError, WorldGPTError

HUGE, MANY = 10**12, 10**6
CLIP = {"encoder": "clip", "path": "x", "embed_weights": True}
SIDES = {"height": 64_000, "width": 64_000}
VIDEO = {"frames": 10**9, "height": 64, "width": 64}


def llama(**settings: Any) -> dict[str, Any]:
    return {"model_type": "llama"} | settings


CONFIGS: dict[str, dict[str, Any]] = {
    # sizes that fill the memory
    "a million members": {"ensemble": MANY},
    "a context of 1e8": {"context": 10**8},
    "an image of 64000 squared": {"modalities.image": SIDES},
    "a video of 1e9 frames": {"modalities.video": VIDEO},
    "a million layers": {"backbone.num_hidden_layers": MANY},
    "1e9 bins of numbers": {"codecs.vector": {"bins": 10**9}},
    "1e9 bins of rewards": {"reward.bins": 10**9},
    "wide codec": {"codecs.image": {"width": 10**9}},
    "many digits": {"codecs.image": {"digits": HUGE}},
    "many levels": {"codecs.image": {"levels": HUGE}},
    "many patches": {"codecs.audio": {"patches": HUGE}},
    "many bands": {"codecs.audio": {"bands": MANY}},
    "long sound": {"modalities.audio.samples": HUGE},
    "many channels": {"modalities.audio.channels": HUGE},
    "many slots": {"modalities.text.slots": HUGE},
    "many names": {"modalities.vector.names": [f"n{n}" for n in range(1000)]},
    "many actions": {"action.sizes": [HUGE]},
    "many parts": {"action": {"kind": "multidiscrete", "sizes": [2] * MANY}},
    "wide cells": {"cell_width": HUGE},
    "many signal tokens": {"signal_tokens": HUGE},
    "long horizon": {"horizon": HUGE},
    "wide reflector": {"reflector": {"width": HUGE}},
    "deep reflector": {"reflector": {"layers": HUGE}},
    "wide backbone": {"backbone.hidden_size": HUGE},
    "wide perceptron": {"backbone.intermediate_size": HUGE},
    "large vocabulary": {"backbone.vocab_size": HUGE},
    "wide heads": {"backbone.head_dim": HUGE},
    "a million layers of GPT-2": {"backbone": {"model_type": "gpt2", "n_layer": MANY}},
    "masks of GPT-2": {"backbone": {"model_type": "gpt2", "n_positions": MANY}},
    "a million experts": {"backbone": {"model_type": "mixtral", "num_local_experts": MANY}},
    "a real llama": {"backbone": llama()},
    "layers of a checkpoint": {
        "backbone": {
            "checkpoint": "x",
            "embed_weights": True,
            "architecture": llama(num_hidden_layers=MANY),
        }
    },
    "layers of an encoder": {
        "codecs.image": CLIP | {"architecture": {"num_hidden_layers": MANY}, "recipe": {"x": 1}}
    },
    # values that are none
    "a negative temperature": {"temperature": -1},
    "a temperature of words": {"temperature": "hot"},
    "a temperature of truth": {"temperature": True},
    "termination at 0": {"termination_temperature": 0},
    "bounds of 1e308": {"reward": {"low": -1e308, "high": 1e308, "bins": 41}},
    "no bins": {"reward": {}},
    "a list of bins": {"reward": []},
    "bounds that cross": {"reward.low": 10.0},
    "no samples": {"modalities.audio.samples": 0},
    "no rate": {"modalities.audio.rate": 0},
    "a rate below 0": {"modalities.audio.rate": -5},
    "no slots": {"modalities.text.slots": 0},
    "slots below 0": {"modalities.text.slots": -1},
    "a field too many": {"modalities.image.depth": 3},
    "no modality": {"modalities": {}},
    "a list of modalities": {"modalities": []},
    "an unknown modality": {"modalities.smell": {}},
    "low above high": {"modalities.vector.low": [1e300, 0]},
    "bounds of words": {"modalities.vector.low": ["a", "b"]},
    "no sizes": {"action.sizes": []},
    "a size of 0": {"action.sizes": [0]},
    "half an action": {"action.sizes": [2.5]},
    "a box without bounds": {"action.kind": "box"},
    "an unknown action": {"action.kind": "dance"},
    "no backbone": {"backbone": {}},
    "a list as backbone": {"backbone": []},
    "no heads": {"backbone.num_attention_heads": 0},
    "heads that do not fit": {"backbone.num_attention_heads": 3},
    "an unknown function": {"backbone.hidden_act": "evil"},
    "an unknown model": {"backbone.model_type": "nope"},
    "a model of another kind": {"backbone.model_type": "t5"},
    "a model type of nothing": {"backbone.model_type": None},
    "rotation by 0": {"backbone.rope_theta": 0},
    "a root below 0": {"backbone.rms_norm_eps": -1.0},
    "a checkpoint that is not there": {"backbone": {"checkpoint": "/nowhere"}},
    "a checkpoint of a number": {"backbone": {"checkpoint": 5}},
    "LoRA of nothing": {"backbone": {"lora": {}}},
    "an encoder that is not there": {"codecs.image": {"encoder": "clip", "path": "/nowhere"}},
    "an unknown encoder": {"codecs.image": {"encoder": "evil", "path": "x"}},
    "a codec of nothing": {"codecs.smell": {}},
    "a list of codecs": {"codecs": []},
    "an unknown setting": {"codecs.text": {"x": 1}},
    "a rate of words": {"codecs.image": {"learning_rate": "x"}},
    "an unknown outcome": {"outcome": "both"},
    "tokens of a number": {"image_tokens": 5},
    "agents that smell": {"agent_modalities": ["smell"]},
    "agents that see nothing": {"agent_modalities": []},
    "agents of lists": {"agent_modalities": [["image"]]},
    "an unknown combination": {"combinations": ["x"]},
    "a combination of a number": {"combinations": [5]},
    "a list of options": {"world_options": []},
    "a world of a number": {"world": 5},
    "rewarded by words": {"rewarded": "yes"},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("hostile") / "whole"
    build_model(folder, 0)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_configuration_is_refused(name: str, whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "model")
    path = folder / "config.json"
    data = json.loads(path.read_text())
    for place, value in CONFIGS[name].items():
        *steps, last = place.split(".")
        part = data
        for step in steps:
            part = part[step]
        part[last] = value
    path.write_text(json.dumps(data))
    reseal_folder(folder)
    began, before = time.process_time(), _largest()
    with pytest.raises(WorldGPTError) as error:
        use_model(folder)
    assert time.process_time() - began < 5 and _largest() - before < 2**30
    assert 20 < len(str(error.value)) < 1000 and "\n" not in str(error.value)
    if isinstance(error.value, CheckpointError):
        assert str(folder) in str(error.value)


def _largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
