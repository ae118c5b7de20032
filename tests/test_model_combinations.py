"""Any modalities to any others on one model, with rows that miss what their neighbours have."""

from __future__ import annotations

import dataclasses
import warnings

import pytest
import torch
from torch import Tensor

from worldgpt_env.model.batch import Batch, Presence, State
from worldgpt_env.model.configuration import WorldGPTConfig
from worldgpt_env.model.curriculum import Combination, combinations
from worldgpt_env.model.errors import UntrainedCombinationWarning
from worldgpt_env.model.modalities import (
    ActionSpec,
    AudioSpec,
    ImageSpec,
    Modality,
    TextSpec,
    VectorSpec,
    VideoSpec,
)
from worldgpt_env.model.rollout.imagination import Imagination
from worldgpt_env.model.worldgpt import WorldGPT

IMAGE, VIDEO, AUDIO, TEXT, VECTOR = Modality
SPECS = {
    IMAGE: ImageSpec(32, 32),
    VIDEO: VideoSpec(2, 32, 32),
    AUDIO: AudioSpec(400, 1, 8000),
    TEXT: TextSpec.of("the door is open closed".split(), 4),
    VECTOR: VectorSpec(("ammo", "health"), (0.0, 0.0), (9.0, 99.0)),
}
ROWS, STEPS = 5, 4


@pytest.fixture(scope="module")
def model() -> WorldGPT:
    """A tiny model of all five modalities and of actions in words; every weight matters."""
    torch.manual_seed(0)
    action = ActionSpec.text("move left right fire".split(), 3)
    known = [c.name for c in (*combinations(SPECS), Combination((), (VIDEO,)))]
    built = WorldGPT(WorldGPTConfig.from_preset("tiny", SPECS, action, combinations=known)).eval()
    for parameter in built.dynamics_parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return built


@pytest.fixture(scope="module")
def batch(model: WorldGPT) -> Batch:
    """Random windows; the last row misses the image, the fourth the sound now and then."""
    generator = torch.Generator().manual_seed(1)
    codecs = {m: model.codec(m) for m in model.specs}
    state = {
        m: torch.randint(0, c.levels, (ROWS, STEPS + 1, c.cells, c.digits), generator=generator)
        for m, c in codecs.items()
    }
    image = torch.ones(ROWS, STEPS + 1, dtype=torch.bool)
    image[-1] = False
    audio = torch.ones(ROWS, STEPS + 1, dtype=torch.bool)
    audio[3, ::2] = False
    action = torch.randint(0, 6, (ROWS, STEPS, 3), generator=generator)
    zeros = torch.zeros(ROWS, STEPS)
    return Batch(
        state, action, zeros, zeros, torch.ones(ROWS, STEPS), present={IMAGE: image, AUDIO: audio}
    )


def first(batch: Batch, inputs: tuple[Modality, ...]) -> tuple[State, Presence]:
    """Return the first moments of ``batch``: the state of ``inputs``, and what is present."""
    state = {m: batch.state[m][:, 0] for m in inputs}
    return state, {m: there[:, 0] for m, there in batch.present.items() if m in inputs}


@pytest.mark.parametrize("combination", combinations((IMAGE, VIDEO, AUDIO)), ids=lambda c: c.name)
def test_all_49_combinations_run_on_one_model(
    model: WorldGPT, batch: Batch, combination: Combination
) -> None:
    state, present = first(batch, combination.inputs)
    prediction = model.predict(
        state, batch.action[:, 0], combination.outputs, present, expected=True
    )
    assert tuple(prediction.state) == combination.outputs
    assert prediction.latent is not None
    for modality, codes in prediction.state.items():
        codec = model.codec(modality)
        assert codes.shape == (ROWS, codec.cells, codec.digits)
        assert prediction.latent[modality].shape == (ROWS, codec.latent_size)
        assert prediction.latent[modality].abs().max() <= 1 + 1e-5


@pytest.mark.parametrize("name", ["text>image", "vector>text+audio", "image+text>vector", ">video"])
def test_words_numbers_and_nothing_at_all_are_inputs_too(
    model: WorldGPT, batch: Batch, name: str
) -> None:
    combination = Combination.parse(name)
    state, present = first(batch, combination.inputs)
    prediction = model.predict(state, batch.action[:, 0], combination.outputs, present)
    assert tuple(prediction.state) == combination.outputs


def spread(one: dict[Modality, Tensor], other: dict[Modality, Tensor]) -> float:
    """Return the largest difference of two sets of logits or latents."""
    return max(float((one[m] - other[m]).abs().max()) for m in one)


def test_what_is_absent_leaks_nowhere(model: WorldGPT, batch: Batch) -> None:
    noise = {
        m: torch.where(batch.present[m][:, :, None, None], codes, (codes + 1) % 3)
        if m in batch.present else codes
        for m, codes in batch.state.items()
    }  # fmt: skip
    other = dataclasses.replace(batch, state=noise)
    with torch.no_grad():
        (one, its), (two, others) = (
            model.dynamics.read_window(b, model.dynamics.tokens.block()) for b in (batch, other)
        )
    assert spread(one.logits, two.logits) == 0
    assert torch.equal(its.reward, others.reward)


def test_an_absent_row_is_as_if_the_modality_were_no_input(model: WorldGPT, batch: Batch) -> None:
    state, present = first(batch, tuple(SPECS))
    action = batch.action[:, 0]
    mixed = model.predict(state, action, None, present, expected=True)
    without = {m: codes[-1:] for m, codes in state.items() if m is not IMAGE}
    alone = model.predict(without, action[-1:], None, expected=True)
    assert mixed.latent and alone.latent
    assert spread({m: x[-1:] for m, x in mixed.latent.items()}, alone.latent) < 1e-5
    with_image = {m: codes[:3] for m, codes in state.items()}
    whole = model.predict(with_image, action[:3], None, expected=True)
    assert whole.latent
    assert spread({m: x[:3] for m, x in mixed.latent.items()}, whole.latent) < 1e-5


@pytest.mark.parametrize("fused", [True, False])
def test_step_by_step_is_the_window_when_rows_miss_modalities(
    model: WorldGPT, batch: Batch, fused: bool
) -> None:
    block = model.dynamics.tokens.block()
    with torch.no_grad():
        out, _ = model.dynamics.read_window(batch, block)
        window = model.processor.expected_latent(out.logits, out.vectors)
    engine = Imagination(model.processor, model.dynamics, model.config, ROWS, 0.0, block, fused)
    for step in range(STEPS):
        now = {m: codes[:, step] for m, codes in batch.state.items()}
        there = {m: rows[:, step] for m, rows in batch.present.items()}
        if step == 2:  # a copy of the memory, presence included, goes on like the original
            engine = engine.select(torch.arange(ROWS))
        imagined = engine.step(now, batch.action[:, step], present=there, expected=True)
        assert imagined.latent
        rows = {m: x.view(ROWS, STEPS, -1)[:, step] for m, x in window.items()}
        if step < model.config.context:
            assert spread(rows, imagined.latent) < 1e-5


def test_the_order_of_the_words_of_an_action_matters(model: WorldGPT, batch: Batch) -> None:
    state, _ = first(batch, (VIDEO,))
    words = model.action_spec.vocabulary
    one, two = (
        torch.from_numpy(words.encode(sentence)).expand(ROWS, -1)
        for sentence in ("move left fire", "fire left move")
    )
    latents = [model.predict(state, a, expected=True).latent for a in (one, two)]
    assert latents[0] and latents[1]
    assert spread(latents[0], latents[1]) > 1e-4


def test_the_loss_counts_only_targets_that_are_there(model: WorldGPT, batch: Batch) -> None:
    outputs = (IMAGE,)
    nowhere = {IMAGE: torch.zeros(ROWS, STEPS + 1, dtype=torch.bool)}
    lost = model(dataclasses.replace(batch, present=nowhere), (VIDEO,), outputs)
    assert float(lost.metrics["nats/image"]) == 0
    assert float(model(batch, (VIDEO,), outputs).metrics["nats/image"]) > 0


def test_rewards_that_nobody_recorded_cost_nothing(model: WorldGPT, batch: Batch) -> None:
    unknown = dataclasses.replace(batch, reward=torch.full_like(batch.reward, torch.nan))
    figures = model(unknown).metrics
    assert float(figures["reward"]) == float(figures["termination"]) == 0
    assert torch.isfinite(figures["total"])


def test_a_combination_that_was_never_trained_is_warned_of(batch: Batch) -> None:
    torch.manual_seed(0)
    specs = {IMAGE: SPECS[IMAGE], AUDIO: SPECS[AUDIO]}
    action = ActionSpec("discrete", (2,))
    built = WorldGPT(
        WorldGPTConfig.from_preset("tiny", specs, action, combinations=["image>audio"])
    )
    state, _ = first(batch, (IMAGE,))
    still = torch.zeros(ROWS, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        built.predict(state, still, [AUDIO])
    with pytest.warns(UntrainedCombinationWarning, match="image>image"):
        built.predict(state, still, [IMAGE])
