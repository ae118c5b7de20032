"""The world model: loss, combinations, independence of rows, and what must never happen."""

import dataclasses

import pytest
import torch

from worldgpt_env.model import Batch, Modality, WorldGPT, WorldGPTConfig
from worldgpt_env.model.configuration import RewardBins
from worldgpt_env.model.dynamics.heads import grid_neighbours
from worldgpt_env.model.dynamics.layout import ACTION, OBSERVATION, SIGNAL, TokenCounts
from worldgpt_env.model.dynamics.losses import LossWeights, code_loss
from worldgpt_env.model.dynamics.reward_heads import RewardHead, symexp, symlog
from worldgpt_env.model.errors import ConfigurationError, MissingModalityError
from worldgpt_env.model.modalities import ActionSpec, ImageSpec, TextSpec, VectorSpec

SPECS = {
    Modality.IMAGE: ImageSpec(32, 32),
    Modality.TEXT: TextSpec.of(["door", "open", "locked"], 3),
    Modality.VECTOR: VectorSpec(("ammo",), (0.0,), (9.0,)),
}


def make_model(action: ActionSpec | None = None, **settings: object) -> WorldGPT:
    """Return a tiny model whose zero-initialised parts are randomised, so that all matter."""
    torch.manual_seed(0)
    action = action or ActionSpec("discrete", (3,))
    model = WorldGPT(WorldGPTConfig.from_preset("tiny", SPECS, action, **settings)).eval()
    for parameter in model.parameters():
        if not parameter.abs().sum():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def make_batch(model: WorldGPT, rows: int = 3, steps: int = 5) -> Batch:
    """Return a random batch of windows for ``model``."""
    generator = torch.Generator().manual_seed(1)
    state = {
        m: torch.randint(0, c.levels, (rows, steps + 1, c.cells, c.digits), generator=generator)
        for m, c in ((m, model.codec(m)) for m in model.specs)
    }
    action = torch.randint(0, 3, (rows, steps), generator=generator)
    zeros = torch.zeros(rows, steps)
    return Batch(state, action, zeros, zeros, torch.ones(rows, steps))


def test_block_places_every_modality_at_a_fixed_offset() -> None:
    counts = TokenCounts(((Modality.IMAGE, 2), (Modality.TEXT, 1)))
    whole, part = counts.block(), counts.block([Modality.TEXT], [Modality.IMAGE])
    assert whole.offsets == [0, 1, 2, 3, 4, 5, 6]
    assert whole.kinds == [OBSERVATION] * 3 + [ACTION] + [SIGNAL] * 3
    assert part.offsets == [2, 3, 4, 5]  # the text, the action, the image's signal tokens


def test_signal_tokens_are_never_seen_from_later_blocks() -> None:
    block = TokenCounts(((Modality.IMAGE, 2),)).block()
    visible = block.window_visibility(3, context=2)
    kind = torch.tensor(block.kinds).repeat(3)
    step = torch.arange(3).repeat_interleave(block.size)
    later = step[:, None] > step[None, :]
    assert not visible[later & (kind[None, :] == SIGNAL)].any()
    assert not visible[step[:, None] < step[None, :]].any()
    assert not visible[(step[:, None] - step[None, :]) >= 2].any()
    assert visible[(step[:, None] - step[None, :] == 1) & (kind[None, :] != SIGNAL)].all()


def test_the_next_state_does_not_leak_into_its_own_prediction() -> None:
    model = make_model()
    batch = make_batch(model)
    changed = {m: c.clone() for m, c in batch.state.items()}
    for codes in changed.values():
        codes[:, 3:] = 0
    other = dataclasses.replace(batch, state=changed)
    block = model.dynamics.tokens.block()
    with torch.no_grad():
        (before, _), (after, _) = (model.dynamics.read_window(x, block) for x in (batch, other))
    for modality in SPECS:
        a, b = (o.logits[modality].unflatten(0, (3, 5))[:, :3] for o in (before, after))
        assert torch.equal(a, b), modality  # steps 0, 1, 2 predict moments 1, 2, 3


def test_the_action_and_history_change_the_prediction() -> None:
    model = make_model()
    batch = make_batch(model)
    other = dataclasses.replace(batch, action=(batch.action + 1) % 3)
    block = model.dynamics.tokens.block()
    with torch.no_grad():
        a, b = (
            model.dynamics.read_window(x, block)[0].logits[Modality.IMAGE] for x in (batch, other)
        )
    assert (a - b).abs().amin((1, 2, 3)).shape == (15,)
    assert (a - b).abs().amax((1, 2, 3)).gt(1e-4).all()


@pytest.mark.parametrize("inputs", [[Modality.IMAGE], [Modality.TEXT, Modality.VECTOR], None])
@pytest.mark.parametrize("outputs", [[Modality.TEXT], [Modality.IMAGE, Modality.VECTOR], None])
def test_any_modalities_in_and_out(
    inputs: list[Modality] | None, outputs: list[Modality] | None
) -> None:
    model = make_model()
    batch = make_batch(model)
    result = model(batch, inputs, outputs)
    assert torch.isfinite(result.loss)
    now = {m: c[:, 0] for m, c in batch.state.items() if inputs is None or m in inputs}
    prediction = model.predict(now, batch.action[:, 0], outputs)
    assert set(prediction.state) == set(outputs or SPECS)
    for modality, codes in prediction.state.items():
        assert codes.shape == batch.state[modality][:, 0].shape


def test_an_unknown_modality_is_named() -> None:
    model = make_model()
    with pytest.raises(MissingModalityError, match="audio"):
        model.dynamics.tokens.block([Modality.AUDIO])
    with pytest.raises(MissingModalityError, match="audio"):
        model.encode({"audio": torch.zeros(1, 4, 2)})


@pytest.mark.parametrize(
    "action, spec",
    [
        (torch.tensor([[0.5, -1.0]]), ActionSpec("box", (2,), low=(-1, -1), high=(1, 1))),
        (torch.tensor([[1, 0]]), ActionSpec("multidiscrete", (2, 3))),
    ],
)
def test_other_kinds_of_actions(action: torch.Tensor, spec: ActionSpec) -> None:
    model = make_model(spec)
    state = {m: c[:1, 0] for m, c in make_batch(model).state.items()}
    here, there = model.predict(state, action), model.predict(state, torch.zeros_like(action))
    assert here.reward.shape == (1,)
    assert not torch.equal(here.reward, there.reward)


def test_reward_bins_return_exactly_what_was_recorded() -> None:
    head = RewardHead(4, RewardBins(-9.0, 99.0))
    for number, reward in enumerate((-9.0, -4.0, -1.0, 0.3, 97.0, 99.0)):
        ended = number % 2
        logits = torch.zeros(1, 2, 41, requires_grad=True)
        optimizer = torch.optim.Adam([logits], lr=0.5)
        for _ in range(300):
            optimizer.zero_grad()
            head.loss(logits, torch.tensor([reward]), torch.tensor([ended])).sum().backward()
            optimizer.step()
        assert head.expect(logits)[0, ended].item() == pytest.approx(reward, abs=0.05)
        assert not logits.grad[0, 1 - ended].any()


def test_symlog_inverts() -> None:
    x = torch.linspace(-50, 50, 101)
    assert torch.allclose(symexp(symlog(x)), x, atol=1e-4)


def test_neighbours_of_a_grid() -> None:
    around = grid_neighbours(2, 3)
    assert around.shape == (6, 9)
    assert around[0].tolist() == [6, 6, 6, 6, 0, 1, 6, 3, 4]
    assert grid_neighbours(1, 4).tolist() == [[0], [1], [2], [3]]


def test_code_loss_by_hand() -> None:
    logits = torch.zeros(2, 1, 2, 4)
    logits[0, 0, 0, 3] = 50.0
    target = torch.tensor([[[3, 0]], [[1, 1]]])
    nats, exact = code_loss(logits, target, target, torch.tensor([1.0, 0.0]), 1.0)
    assert nats.item() == pytest.approx(torch.tensor(4.0).log().item(), abs=1e-5)
    assert exact.item() == 1.0  # ties go to the first level


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="huge"):
        WorldGPTConfig.from_preset("huge", SPECS, ActionSpec("discrete", (2,)))
    with pytest.raises(ConfigurationError, match="columns"):
        WorldGPTConfig(image_tokens="columns")
    with pytest.raises(ConfigurationError, match="reward"):
        LossWeights(reward=-1.0)
