"""Sequences: a perfect model, what is remembered, steps of the two modes, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_worldnet as toy

from worldgpt_env.model.batch import Prediction
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.worldgpt import WorldGPT
from worldgpt_env.training.cli import main
from worldgpt_env.training.evaluation.sequence_rollout import (
    RecordedSequences,
    SequenceRollout,
    centres,
)
from worldgpt_env.training.recording import Recording
from worldgpt_env.training.worldnet import sequence_evaluation as module
from worldgpt_env.training.worldnet.format.annotation import WorldNetError
from worldgpt_env.training.worldnet.format.load import LoadedWorldNet
from worldgpt_env.training.worldnet.sequence_evaluation import (
    SequencesConfig,
    evaluate_sequences,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::worldgpt_env.model.errors.UntrainedCombinationWarning"
)


@pytest.fixture(scope="module")
def model() -> WorldGPT:
    return toy.build_model(reflector={"width": 16})


@pytest.fixture(scope="module")
def sequences(model: WorldGPT) -> RecordedSequences:
    return RecordedSequences.draw(model, toy.recording(100, 5), length=3, count=12, seed=0)


@pytest.fixture(scope="module")
def rollout(model: WorldGPT, sequences: RecordedSequences) -> SequenceRollout:
    return SequenceRollout(model, sequences, centres(model, sequences.data), contexts=2)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the folder "toy" holds."""
    splits = {"test": toy.recording(100, 5), "train": toy.recording(0, 5)}

    def load(root: Path, split: str, specs: Any, scenarios: Any) -> LoadedWorldNet:
        return LoadedWorldNet(splits[split].of(scenarios or ()), [])

    monkeypatch.setattr(module, "load_worldnet", load)


def follow(
    monkeypatch: pytest.MonkeyPatch, sequences: RecordedSequences, states: list[Any]
) -> None:
    """Let the model predict what really follows, and note what it is shown."""
    calls = []

    def predict(self: WorldGPT, state: Any, action: Any, **options: Any) -> Prediction:
        number = len(calls)
        calls.append(number)
        states.append((state, options))
        moment = torch.from_numpy(sequences.start + np.minimum(number, sequences.left - 1)) + 1
        after = {m: codes[moment].long() for m, codes in sequences.data.state.items()}
        nothing = torch.zeros(len(action))
        latent = self.latent(after)
        return Prediction(after, torch.zeros(len(action), 2), *[nothing] * 3, latent)

    monkeypatch.setattr(WorldGPT, "predict", predict)


def test_sequences_share_nothing_and_stay_in_their_episode(sequences: RecordedSequences) -> None:
    spans = [set(range(s, s + 3)) for s in sequences.start.tolist()]
    assert len(sequences) == 12 and sum(map(len, spans)) == len(set().union(*spans))
    first, steps = sequences.data.first[sequences.episode], sequences.data.steps[sequences.episode]
    assert (sequences.start >= first).all() and (sequences.left >= 3).all()
    assert (sequences.start + sequences.left == first + steps).all()


@pytest.mark.parametrize("open_loop", [False, True])
def test_who_knows_what_follows_scores_one_where_the_episode_lasts(
    sequences: RecordedSequences,
    rollout: SequenceRollout,
    monkeypatch: pytest.MonkeyPatch,
    open_loop: bool,
) -> None:
    states: list[Any] = []
    follow(monkeypatch, sequences, states)
    found = list(rollout.steps("none", open_loop, (1, 3, 6)))
    assert [step.number for step in found] == [1, 3, 6] and len(states) == 6
    for step in found:
        lasting = sequences.left >= step.number
        for scores in step.cosine.values():
            assert (np.isfinite(scores) == lasting).all()
            assert scores[lasting] == pytest.approx(1.0, abs=1e-5)
        image = step.copy[Modality.IMAGE]
        assert (np.isfinite(image) == lasting).all() and np.nanmin(image) < 0.99


def test_in_open_loop_the_model_lives_on_its_own_predictions(rollout: SequenceRollout) -> None:
    shown, lived = (
        [step.cosine[Modality.IMAGE] for step in rollout.steps("none", mode, (1, 2))]
        for mode in (False, True)
    )
    assert np.array_equal(shown[0], lived[0])  # both begin at the real state
    assert not np.array_equal(shown[1], lived[1])


def test_the_memory_holds_what_went_before_in_the_sequence(
    sequences: RecordedSequences, rollout: SequenceRollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[Any] = []
    follow(monkeypatch, sequences, states)
    list(rollout.steps("raw", False, (1, 3)))
    contexts = [options["contexts"] for _, options in states]
    assert [int(c.valid.sum(1).max()) for c in contexts] == [0, 1, 2]
    assert not any(options["reflected"] for _, options in states)
    start = torch.from_numpy(sequences.start)
    codes = sequences.data.state[Modality.IMAGE].long()
    for offset in range(2):
        assert contexts[2].state[Modality.IMAGE][:, offset].long().equal(codes[start + offset])
        assert (
            contexts[2]
            .next_state[Modality.IMAGE][:, offset]
            .long()
            .equal(codes[start + offset + 1])
        )
    assert contexts[2].action.equal(sequences.data.action[start[:, None] + torch.arange(2)])


def test_before_anything_happened_all_readings_say_the_same(rollout: SequenceRollout) -> None:
    first = {r: next(iter(rollout.steps(r, False, (1,)))) for r in ("none", "raw", "reflected")}
    for reading in ("raw", "reflected"):
        for modality, scores in first["none"].cosine.items():
            assert first[reading].cosine[modality] == pytest.approx(scores, abs=1e-5)
    later = [next(iter(rollout.steps(r, False, (3,)))) for r in ("none", "raw", "reflected")]
    images = [step.cosine[Modality.IMAGE] for step in later]
    assert not any(np.allclose(images[0], other, atol=1e-5) for other in images[1:])


def test_the_command_prints_both_tables(
    model: WorldGPT, data: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(tmp_path / n) for n in ("a", "b")]
    for name in names:
        model.save_pretrained(name)
    told = tmp_path / "told.json"
    line = "--data toy --length 3 --steps 1,3 --open-steps 1,8 --draws 100 --json"
    assert main(["worldnet", "sequences", *names, *line.split(), str(told)]) == 0
    figures = json.loads(told.read_text())
    printed = capsys.readouterr().out
    assert "in open loop" in printed and "reflected less none" in printed
    part = figures["modes"]["shown"]["3"]
    whole, outputs = part["none"]["all"]["cosine"], set(part["none"]) - {"all"}
    assert outputs == {"image", "video", "audio", "text"}
    mean = np.mean([part["none"][name]["cosine"]["value"] for name in outputs])
    assert whole["value"] == pytest.approx(mean)
    gain = part["raw"]["all"]["difference"]["value"]
    assert gain == pytest.approx(part["raw"]["all"]["cosine"]["value"] - whole["value"])
    assert part["raw"]["all"]["difference"]["models"] == pytest.approx([gain, gain])


def test_what_cannot_be_walked_is_refused(data: None, tmp_path: Path) -> None:
    toy.build_model().save_pretrained(tmp_path / "plain")
    plain = str(tmp_path / "plain")
    with pytest.raises(ConfigurationError, match="has no reflector"):
        evaluate_sequences(SequencesConfig((plain,), Path("toy")))
    with pytest.raises(WorldNetError, match="lasts 50"):
        evaluate_sequences(SequencesConfig((plain,), Path("toy"), length=50, readings=("none",)))
    for wrong, message in (
        ({"steps": (3, 1)}, "ascend"), ({"open_steps": ()}, "ascend"), ({"length": 5}, "beyond"),
        ({"readings": ("some",)}, "there are none"), ({"contexts": 0}, "start at 1"),
    ):  # fmt: skip
        with pytest.raises(ConfigurationError, match=message):
            SequencesConfig((plain,), Path("toy"), **wrong)


def test_a_world_without_sound_is_judged_without_it(model: WorldGPT) -> None:
    silent: Recording = toy.recording(100, 2, silent=True)
    sequences = RecordedSequences.draw(model, silent, length=3, count=4, seed=0)
    step = next(
        iter(
            SequenceRollout(model, sequences, centres(model, sequences.data), 2).steps(
                "raw", True, (3,)
            )
        )
    )
    assert not np.isfinite(step.cosine[Modality.AUDIO]).any()
    assert np.isfinite(step.cosine[Modality.IMAGE]).all()
