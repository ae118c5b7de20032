"""Fidelity: a model that learned its world, one that knows nothing, and the recording itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_world import TinyWorld, build_model, save_model

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.training.collect import CollectConfig, collect
from worldgpt_env.training.evaluation.fidelity import FidelityConfig, evaluate_fidelity
from worldgpt_env.training.evaluation.open_loop import predict_open_loop, predict_steps
from worldgpt_env.training.recording import Recording
from worldgpt_env.worlds import register_world


@pytest.fixture(scope="module")
def tiny_recording_folder(tmp_path_factory) -> Path:
    register_world(TinyWorld)
    out = tmp_path_factory.mktemp("recordings") / "tiny"
    collect(CollectConfig("tiny", 90, str(out)))
    return out


def test_a_learned_world_is_predicted_and_copying_is_not(corridor: Path) -> None:
    report = evaluate_fidelity(
        FidelityConfig(str(corridor / "model"), (corridor / "held_out",), horizons=(1, 4))
    )
    figures = report.figures
    assert report.world == "corridor" and report.steps == 500
    assert figures["numbers exact"].model is not None and figures["numbers exact"].model >= 0.99
    assert figures["numbers exact"].copy == 0.0  # it always moves
    assert figures["number place, changed: error"].copy == pytest.approx(1 / 6)
    assert figures["words right"].model == 1.0 and figures["words right"].copy == 1.0
    assert figures["words right, changed"].model is None  # the word never changes
    for name in ("reward F1", "end F1"):
        score = figures[name].model
        assert score is not None and score >= 0.9
    recording = Recording.load(corridor / "held_out")
    ends = sum(episode.terminated for episode in recording.episodes)
    assert figures["end F1"].rows == figures["reward F1"].rows == ends
    assert figures["words right @4"].model == 1.0
    told = report.to_json()
    assert list(told) == ["model", "world", "steps", "episodes", "figures"]
    assert told["figures"]["end F1"].keys() == {"model", "copy_last", "codec", "count"}
    assert told["figures"]["end F1"]["count"] == ends


def test_every_step_is_predicted_once_from_its_own_past(corridor: Path) -> None:
    model = WorldGPT.from_pretrained(corridor / "model")
    data = TransitionStore.encode(model.processor, Recording.load(corridor / "held_out").episodes)
    many, few = (predict_steps(model, data, batch_size=size) for size in (64, 3))
    acted = [np.arange(f, f + n) for f, n in zip(data.first, data.steps, strict=True)]
    assert np.array_equal(many.state, np.concatenate(acted))
    assert np.array_equal(many.next_state, many.state + 1)
    for modality in model.specs:
        assert torch.equal(many.codes[modality], few.codes[modality])
    assert np.array_equal(many.reward, few.reward)
    # the first episode alone, step by step
    engine = model.imagination(1, temperature=0.0)
    for step in range(int(data.steps[0])):
        state = {m: codes[[step]].long() for m, codes in data.state.items()}
        out = engine.step(state, data.action[[step]])
        for modality in model.specs:
            assert torch.equal(out.state[modality][0], many.codes[modality][step].long())


def test_open_loop_feeds_on_its_own_predictions(corridor: Path) -> None:
    model = WorldGPT.from_pretrained(corridor / "model")
    data = TransitionStore.encode(model.processor, Recording.load(corridor / "held_out").episodes)
    found = predict_open_loop(model, data, (1, 3), batch_size=7)
    long_enough = [(f, n) for f, n in zip(data.first, data.steps, strict=True)]
    starts = [f + s for f, n in long_enough for s in range(0, n, 3) if s + 3 <= n]
    assert found[3].state.tolist() == starts
    assert (found[3].next_state == found[3].state + 3).all()
    start = int(found[3].state[0])
    engine = model.imagination(1, temperature=0.0)
    state = {m: codes[[start]].long() for m, codes in data.state.items()}
    for step in range(3):
        state = engine.step(state, data.action[[start + step]]).state
    for modality in model.specs:
        assert torch.equal(state[modality][0], found[3].codes[modality][0].long())


def test_all_modalities_are_measured(tiny_folder: str, tiny_recording_folder: Path) -> None:
    config = FidelityConfig(
        tiny_folder, (tiny_recording_folder,), seen=(tiny_recording_folder,), horizons=(1, 5)
    )
    report = evaluate_fidelity(config)
    figures = report.figures
    for name in ("image exact", "image PSNR (dB)", "audio onset F1", "audio balance error"):
        assert figures[name].copy is not None, name
    assert figures["image exact, never seen"].rows == 0  # it was trained on these
    assert figures["image exact, changed"].rows == 90  # the square jumps at every step
    assert figures["image foreground error"].codec is not None
    assert figures["words right, changed"].copy == 0.0
    table = report.table()
    assert "| image exact @5" in table and "copy last" in table
    assert len({len(line) for line in table.split("\n")[2:]}) == 1  # columns stand in line


def test_frames_that_were_never_seen_are_told_apart(
    tiny_folder: str, tiny_recording_folder: Path, tmp_path: Path
) -> None:
    collect(CollectConfig("tiny", 30, str(tmp_path / "other"), seed=4))
    report = evaluate_fidelity(
        FidelityConfig(tiny_folder, (tmp_path / "other",), seen=(tiny_recording_folder,))
    )
    assert report.figures["image exact, never seen"].rows == 30
    without = evaluate_fidelity(FidelityConfig(tiny_folder, (tmp_path / "other",)))
    assert "image exact, never seen" not in without.figures


def test_a_recording_of_another_world_is_refused(corridor: Path, tmp_path: Path) -> None:
    save_model(build_model(), tmp_path / "tiny")
    with pytest.raises(ConfigurationError, match="corridor"):
        evaluate_fidelity(FidelityConfig(str(tmp_path / "tiny"), (corridor / "held_out",)))
    with pytest.raises(ConfigurationError, match="--data"):
        FidelityConfig("tiny", ())
    with pytest.raises(ConfigurationError, match="horizons"):
        FidelityConfig("tiny", (corridor,), horizons=(0,))
