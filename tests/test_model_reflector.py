"""Contexts in front of a step, raw and reflected: what may be seen, and by whom."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_model_combinations import ROWS, SPECS, STEPS, spread

from worldgpt_env.model.batch import Batch
from worldgpt_env.model.configuration import WorldGPTConfig
from worldgpt_env.model.contexts import Contexts
from worldgpt_env.model.dynamics.layout import Reading
from worldgpt_env.model.dynamics.reflector import ReflectorLayer
from worldgpt_env.model.errors import ConfigurationError, MissingHeadError
from worldgpt_env.model.modalities import ActionSpec, Modality
from worldgpt_env.model.rollout.imagination import Imagination
from worldgpt_env.model.worldgpt import WorldGPT

COUNT = 3
READINGS = [Reading(COUNT, reflected=True), Reading(COUNT, reflected=False)]


def build(reflector: dict[str, int] | None) -> WorldGPT:
    """Return a tiny model of all modalities whose every weight matters."""
    torch.manual_seed(0)
    action = ActionSpec.text("move left right fire".split(), 3)
    model = WorldGPT(WorldGPTConfig.from_preset("tiny", SPECS, action, reflector=reflector)).eval()
    for parameter in model.dynamics_parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(scope="module")
def model() -> WorldGPT:
    """A model with a reflector."""
    return build({"width": 32})


def random_state(model: WorldGPT, *shape: int, seed: int) -> dict[Modality, torch.Tensor]:
    """Return random codes of all modalities, ``(*shape, C, G)``."""
    draw = torch.Generator().manual_seed(seed)
    return {
        m: torch.randint(0, c.levels, (*shape, c.cells, c.digits), generator=draw)
        for m, c in ((m, model.codec(m)) for m in model.specs)
    }


def random_contexts(model: WorldGPT, rows: int, seed: int = 5) -> Contexts:
    """Return contexts of which the first of the last row is empty."""
    draw = torch.Generator().manual_seed(seed)
    valid = torch.ones(rows, COUNT, dtype=torch.bool)
    valid[-1, 0] = False
    return Contexts(
        random_state(model, rows, COUNT, seed=seed),
        torch.randint(0, 6, (rows, COUNT, 3), generator=draw),
        random_state(model, rows, COUNT, seed=seed + 1),
        valid,
        torch.zeros(rows, COUNT),
        present={Modality.AUDIO: torch.rand(rows, COUNT, generator=draw) < 0.5},
    )


@pytest.fixture(scope="module")
def batch(model: WorldGPT) -> Batch:
    """Windows whose every step has contexts of its own."""
    zeros = torch.zeros(ROWS, STEPS)
    action = torch.randint(0, 6, (ROWS, STEPS, 3), generator=torch.Generator().manual_seed(3))
    state = random_state(model, ROWS, STEPS + 1, seed=1)
    contexts = random_contexts(model, ROWS * STEPS)
    return Batch(state, action, zeros, zeros, torch.ones(ROWS, STEPS), contexts=contexts)


def predict(
    model: WorldGPT, batch: Batch, reading: Reading, contexts: Contexts
) -> dict[Modality, torch.Tensor]:
    """Return the expected latents of the first step."""
    now = {m: codes[:, 0] for m, codes in batch.state.items()}
    action = batch.action[:, 0]
    found = model.predict(
        now, action, expected=True, contexts=contexts, reflected=reading.reflected
    ).latent
    assert found
    return found


def test_contexts_stand_in_front_in_four_tokens_each(model: WorldGPT) -> None:
    block = model.dynamics.tokens.block(reading=READINGS[0])
    assert block.prefix == 4 * COUNT
    first = block.offsets[: block.kept + block.signals]
    assert max(block.offsets[-block.prefix :]) < min(first)
    alone = model.dynamics.tokens.block()
    assert first == alone.offsets  # nothing else moves


@pytest.mark.parametrize("reading", READINGS, ids=["reflected", "raw"])
@pytest.mark.parametrize("fused", [True, False])
def test_step_by_step_is_the_window_with_contexts(
    model: WorldGPT, batch: Batch, reading: Reading, fused: bool
) -> None:
    block = model.dynamics.tokens.block(reading=reading)
    assert batch.contexts is not None
    with torch.no_grad():
        out, _ = model.dynamics.read_window(batch, block)
        window = model.processor.expected_latent(out.logits, out.vectors)
    engine = Imagination(model.processor, model.dynamics, model.config, ROWS, 0.0, block, fused)
    numbers = torch.arange(ROWS * STEPS).view(ROWS, STEPS)
    for step in range(min(STEPS, model.config.context)):
        now = {m: codes[:, step] for m, codes in batch.state.items()}
        contexts = batch.contexts.select(numbers[:, step])
        found = engine.step(now, batch.action[:, step], expected=True, contexts=contexts).latent
        assert found
        rows = {m: x.view(ROWS, STEPS, -1)[:, step] for m, x in window.items()}
        assert spread(rows, found) < 1e-5


@pytest.mark.parametrize("reading", READINGS, ids=["reflected", "raw"])
def test_what_is_not_there_leaks_nowhere(model: WorldGPT, batch: Batch, reading: Reading) -> None:
    contexts = random_contexts(model, ROWS)
    other = {m: codes.clone() for m, codes in contexts.state.items()}
    for codes in other.values():
        codes[-1, 0] = (codes[-1, 0] + 1) % 3
    sound = Modality.AUDIO
    absent = ~contexts.present[sound]
    other[sound][absent] = (other[sound][absent] + 1) % 3
    changed = dataclasses.replace(contexts, state=other)
    one, two = (predict(model, batch, reading, c) for c in (contexts, changed))
    assert spread(one, two) == 0


@pytest.mark.parametrize("reading", READINGS, ids=["reflected", "raw"])
def test_contexts_and_their_actions_matter(model: WorldGPT, batch: Batch, reading: Reading) -> None:
    contexts = random_contexts(model, ROWS)
    base = predict(model, batch, reading, contexts)
    for change in (
        {"next_state": random_state(model, ROWS, COUNT, seed=9)},
        {"action": (contexts.action + 1) % 6},
    ):
        assert spread(base, predict(model, batch, reading, dataclasses.replace(contexts, **change)))


def test_the_queries_follow_the_present_state(model: WorldGPT) -> None:
    assert model.dynamics.embedding.reflector is not None
    hidden = model.dynamics.backbone.hidden
    tokens = torch.randn(2, COUNT, 5, hidden)
    part = torch.tensor([0, 0, 1, 2, 2])
    there = torch.ones(2, COUNT, 5, dtype=torch.bool)
    one, two = (
        model.dynamics.embedding.reflector(tokens, part, there, torch.randn(2, 2 * hidden))
        for _ in range(2)
    )
    assert one.shape == (2, 4 * COUNT, hidden)
    assert (one - two).abs().max() > 1e-3


def test_the_caller_s_batch_is_left_as_it_is(model: WorldGPT, batch: Batch) -> None:
    before = {m: codes.clone() for m, codes in batch.state.items()}
    model(batch, reading=READINGS[0])
    assert all(torch.equal(before[m], batch.state[m]) for m in before)


def test_without_a_reflector_or_with_too_few_contexts_it_says_so(
    model: WorldGPT, batch: Batch
) -> None:
    contexts = random_contexts(model, ROWS)
    with pytest.raises(MissingHeadError, match="worldgpt tune"):
        predict(build(None), batch, READINGS[0], contexts)
    engine = model.imagination(ROWS, reading=Reading(COUNT + 1))
    now = {m: codes[:, 0] for m, codes in batch.state.items()}
    with pytest.raises(ConfigurationError, match="reads 4 contexts"):
        engine.step(now, batch.action[:, 0], contexts=contexts)


@pytest.mark.parametrize("learns", [False, True])
def test_turned_queries_attend_as_turned_keys_do(learns: bool) -> None:
    torch.manual_seed(0)
    settings = {"dropout": 0.0, "batch_first": True, "norm_first": True}
    plain = torch.nn.TransformerDecoderLayer(32, 4, 64, **settings)
    torch.nn.init.normal_(plain.multihead_attn.in_proj_bias)
    ours = ReflectorLayer(32, 4, 64, **settings)
    ours.load_state_dict(plain.state_dict())
    queries, seen = torch.randn(6, 4, 32), torch.randn(6, 9, 32)
    hidden = torch.rand(6, 9) > 0.6
    results = [
        layer.train(learns)(queries, seen, memory_key_padding_mask=hidden)
        for layer in (plain, ours)
    ]
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)
