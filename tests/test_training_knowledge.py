"""From recordings to knowledge: what is kept, who may see it, and the command."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_world import ACTIONS, SPECS, TinyWorld, build_model, save_model

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.training import knowledge as module
from worldgpt_env.training.cli import main
from worldgpt_env.training.knowledge import knowledge_from, neighbours
from worldgpt_env.training.recording import Episode, Recording

MODALITIES = (Modality.TEXT, Modality.VECTOR)


@pytest.fixture(scope="module")
def model() -> WorldGPT:
    return build_model(modalities=MODALITIES)


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Twelve episodes of two scenarios; the last is lived as the first."""
    world, episodes = TinyWorld(), []
    world.action_space.seed(0)
    for seed in range(11):
        moments, actions, rewards, ended = [world.reset(seed=seed)[0]], [], [], False
        while not ended:
            actions.append(int(world.action_space.sample()))
            observation, reward, terminated, truncated, _ = world.step(actions[-1])
            moments.append(observation)
            rewards.append(reward)
            ended = terminated or truncated
        parts = {m: np.stack([one[str(m)] for one in moments]) for m in MODALITIES}
        episodes.append(
            Episode(
                parts,
                np.array(actions),
                np.array(rewards, np.float32),
                terminated,
                truncated,
                seed,
                scenario="odd" if seed % 2 else "even",
            )  # fmt: skip
        )
    episodes.append(dataclasses.replace(episodes[0], seed=11))
    specs = {modality: SPECS[modality] for modality in MODALITIES}
    return Recording("tiny", specs, ACTIONS["discrete"], episodes)


def test_equal_transitions_are_kept_once_unless_asked_for(
    model: WorldGPT, recording: Recording
) -> None:
    everything = knowledge_from(model, recording, distinct=False)
    once = knowledge_from(model, recording)
    assert len(everything) == recording.steps
    assert len(once) == recording.steps - len(recording.episodes[0])
    drawn = knowledge_from(model, recording, per_scenario=5, seed=1)
    assert drawn.scenario.bincount().tolist() == [5, 5]
    assert drawn.scenarios == ("even", "odd")


def test_a_moment_sees_nothing_of_its_own_episode_nor_of_its_twin(
    model: WorldGPT, recording: Recording
) -> None:
    """The tuning recording has the episodes of the base in another order."""
    knowledge = knowledge_from(model, recording, distinct=False)
    shuffled = dataclasses.replace(recording, episodes=recording.episodes[::-1])
    data = TransitionStore.encode(model.processor, shuffled.episodes)
    show = neighbours(model, knowledge, data)
    moments = torch.from_numpy(np.concatenate([[f, f + n - 1] for f, n in
                               zip(data.first, data.steps, strict=True)]))  # fmt: skip
    contexts = show(moments, 3)
    assert contexts.valid.all() and contexts.count == 3
    own = np.searchsorted(data.first, moments.numpy(), side="right") - 1
    vector = data.state[Modality.VECTOR].long()
    for row, number in enumerate(own.tolist()):
        span = slice(int(data.first[number]), int(data.first[number] + data.steps[number]))
        mine = vector[span][:, None] == contexts.state[Modality.VECTOR][row][None]
        assert not mine.flatten(2).all(2).any()
    twin = knowledge.search(
        {m: codes[:1].long() for m, codes in data.state.items()}, data.action[:1], 1
    )
    assert float(twin.distance[0, 0]) < 1e-6  # it would have been found


def test_the_command_writes_a_base_that_the_model_reads(
    model: WorldGPT, recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording.save(tmp_path / "data")
    folder = save_model(model, tmp_path / "model")
    words = ["knowledge", "--model", folder, "--data", str(tmp_path / "data")]
    assert main([*words, "--out", str(tmp_path / "known"), "--per-scenario", "9"]) == 0
    assert "transitions" in capsys.readouterr().out
    known = Knowledge.load(tmp_path / "known", WorldGPT.from_pretrained(folder).processor)
    assert len(known) == 9 * len(known.scenarios)
    assert main([*words, "--out", str(tmp_path / "none"), "--per-scenario", "0"]) == 2
    with pytest.raises(ConfigurationError, match="per_scenario"):
        knowledge_from(model, recording, per_scenario=0)


def test_a_base_can_be_of_one_split_and_some_scenarios(
    model: WorldGPT, recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = {"train": recording, "knowledge": recording.of(["odd"])}
    monkeypatch.setattr(module, "load_recording", lambda paths, split: splits[split])
    folder, words = save_model(model, tmp_path / "model"), ["--data", "d", "--out"]
    for name, chosen, scenarios in (
        ("all", [], ("even", "odd")),
        ("even", ["--scenarios", "even"], ("even",)),
        ("apart", ["--split", "knowledge"], ("odd",)),
    ):
        line = ["knowledge", "--model", folder, *words, str(tmp_path / name), *chosen]
        assert main(line) == 0
        assert Knowledge.load(tmp_path / name, model.processor).scenarios == scenarios
