"""Imagination: the ring equals the full pass, rows are alone, forks go on exactly."""

import pytest
import torch
from test_model_worldgpt import make_batch, make_model

from worldgpt_env.model import Modality, WorldGPT
from worldgpt_env.model.errors import MissingModalityError, NonFiniteError
from worldgpt_env.model.rollout.imagination import Imagination


def now(state: dict, step: int) -> dict:
    """Return the moment ``step`` of windows."""
    return {modality: codes[:, step] for modality, codes in state.items()}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("backbone", ["llama", "qwen3"])
def test_ring_equals_full_forward(fused: bool, backbone: str) -> None:
    model = make_model()
    settings = model.config.backbone | {"model_type": backbone, "head_dim": 16}
    torch.manual_seed(2)
    fields = model.config.to_dict() | {"backbone": settings, "context": 3}
    model = WorldGPT(type(model.config)(**fields)).eval()
    steps = 11  # the ring of 3 blocks starts over three times
    batch = make_batch(model, rows=4, steps=steps)
    block = model.dynamics.tokens.block()
    with torch.no_grad():
        full, outcome = model.dynamics.read_window(batch, block)
    engine = Imagination(model.processor, model.dynamics, model.config, 4, 0.0, block, fused)
    assert (type(engine.loop).__name__ == "FusedLlama") == (fused and backbone == "llama")
    for step in range(steps):
        prediction = engine.step(now(batch.state, step), batch.action[:, step])
        rewards = model.dynamics.outcome.reward_head.expect(outcome.reward).view(4, steps, 2)[
            :, step
        ]
        assert (prediction.rewards - rewards).abs().max() <= 1e-5
        for modality, logits in full.logits.items():
            wanted = logits.unflatten(0, (4, steps))[:, step].argmax(-1)
            assert torch.equal(prediction.state[modality], wanted)


def test_reset_forgets_one_row_only() -> None:
    model = make_model(context=4)
    batch = make_batch(model, rows=3, steps=4)
    engine, fresh = model.imagination(3), model.imagination(3)
    for step in range(3):
        engine.step(now(batch.state, step), batch.action[:, step])
    kept = engine.select(torch.arange(3)).step(now(batch.state, 3), batch.action[:, 3])
    engine.reset(torch.tensor([False, True, False]))
    after = engine.step(now(batch.state, 3), batch.action[:, 3])
    new = fresh.step(now(batch.state, 3), batch.action[:, 3])
    assert torch.equal(after.reward[[0, 2]], kept.reward[[0, 2]])
    assert torch.allclose(after.reward[1], new.reward[1], atol=1e-6)
    assert not torch.allclose(kept.reward[1], new.reward[1], atol=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_has_the_same_bits_at_any_batch_size(temperature: float) -> None:
    model = make_model(context=3)
    rows, steps = 33, 7
    batch = make_batch(model, rows=rows, steps=1)
    noise = torch.arange(rows) * 1000

    def dream(chosen: torch.Tensor) -> list[torch.Tensor]:
        engine = model.imagination(len(chosen), temperature=temperature)
        state = {m: c[chosen, 0] for m, c in batch.state.items()}
        seen = []
        for step in range(steps):
            action = (chosen + step) % 3
            out = engine.step(state, action, noise[chosen] + step)
            state = out.state
            seen += [*state.values(), out.reward, out.termination, out.uncertainty, out.consistency]
        return seen

    whole = dream(torch.arange(rows))
    for count in (1, 2, 3, 5, 8, 13):
        chosen = torch.randperm(rows, generator=torch.Generator().manual_seed(count))[:count]
        for alone, together in zip(dream(chosen), whole, strict=True):
            assert torch.equal(alone, together[chosen]), count


def test_snapshot_and_fork_go_on_exactly() -> None:
    model = make_model(context=3)
    batch = make_batch(model, rows=2, steps=6)
    engine = model.imagination(2)
    for step in range(4):
        engine.step(now(batch.state, step), batch.action[:, step])
    snapshot, fork = engine.snapshot(), engine.select(torch.tensor([1, 1, 0]))
    first = engine.step(now(batch.state, 4), batch.action[:, 4])
    engine.restore(snapshot)
    again = engine.step(now(batch.state, 4), batch.action[:, 4])
    assert torch.equal(first.reward, again.reward)
    rows = torch.tensor([1, 1, 0])
    state = {m: c[rows, 4] for m, c in batch.state.items()}
    forked = fork.step(state, batch.action[rows, 4])
    assert torch.equal(forked.reward, first.reward[rows])


def test_temperature_samples_and_keys_decide() -> None:
    model = make_model()
    batch = make_batch(model, rows=2, steps=1)
    state, action = now(batch.state, 0), batch.action[:, 0]
    draws = [
        model.imagination(2, temperature=2.0).step(state, action, torch.tensor([key, key]))
        for key in (1, 1, 2)
    ]
    codes = [draw.state[Modality.IMAGE] for draw in draws]
    assert torch.equal(codes[0], codes[1]) and not torch.equal(codes[0], codes[2])
    with pytest.raises(ValueError, match="noise"):
        model.imagination(2, temperature=1.0).step(state, action)


def test_nan_never_comes_out() -> None:
    model = make_model()
    batch = make_batch(model, rows=2, steps=1)
    with torch.no_grad():
        model.dynamics.outcome.reward_head.read.outer.bias[0] = float("nan")
    with pytest.raises(NonFiniteError, match="NaN"):
        model.imagination(2).step(now(batch.state, 0), batch.action[:, 0])


def test_a_missing_modality_is_named() -> None:
    model = make_model()
    batch = make_batch(model, rows=2, steps=1)
    state = now(batch.state, 0)
    del state[Modality.TEXT]
    with pytest.raises(MissingModalityError, match="text"):
        model.imagination(2).step(state, batch.action[:, 0])
