"""Reward and end, read at the action slot alone or from the next state too."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_model_worldgpt import make_batch, make_model

from worldgpt_env.model import Batch, Modality, WorldGPT
from worldgpt_env.model.batch import State
from worldgpt_env.model.errors import ConfigurationError


def at(state: State, step: int) -> State:
    """Return one moment of windows, ``(B, C, G)``."""
    return {m: codes[:, step] for m, codes in state.items()}


def rewards(model: WorldGPT, batch: Batch) -> torch.Tensor:
    """Return the expected rewards of a window, ``(B T, 2)``."""
    with torch.no_grad():
        _, outcome = model.dynamics.read_window(batch, model.dynamics.tokens.block())
    return model.dynamics.outcome.reward_head.expect(outcome.reward)


@pytest.mark.parametrize("where", ["action", "next"])
def test_what_follows_counts_only_where_it_is_read(where: str) -> None:
    model = make_model(outcome=where)
    batch = make_batch(model, rows=3, steps=1)
    following = {m: torch.stack([c[:, 0], c[:, 1].flip(0)], 1) for m, c in batch.state.items()}
    other = dataclasses.replace(batch, state=following)
    assert torch.equal(rewards(model, batch)[1], rewards(model, other)[1])  # the middle row stays
    same = torch.allclose(rewards(model, batch)[0], rewards(model, other)[0], atol=1e-6)
    assert same == (where == "action")


def test_a_dream_reads_what_it_has_imagined() -> None:
    model = make_model(outcome="next")
    batch = make_batch(model, rows=4, steps=1)
    prediction = model.imagination(4, temperature=0.0).step(at(batch.state, 0), batch.action[:, 0])
    led = {m: torch.stack([c[:, 0], prediction.state[m]], 1) for m, c in batch.state.items()}
    wanted = rewards(model, dataclasses.replace(batch, state=led))
    assert (prediction.rewards - wanted).abs().max() < 1e-5
    assert (prediction.rewards - rewards(model, batch)).abs().max() > 1e-4


def test_a_row_has_the_same_bits_at_any_batch_size() -> None:
    model = make_model(outcome="next")
    batch = make_batch(model, rows=33, steps=1)
    state, action = at(batch.state, 0), batch.action[:, 0]
    together = model.imagination(33, temperature=0.0).step(state, action).rewards
    for rows in (1, 2, 5, 16):
        few = {m: codes[:rows] for m, codes in state.items()}
        alone = model.imagination(rows, temperature=0.0).step(few, action[:rows]).rewards
        assert torch.equal(alone, together[:rows])


@pytest.mark.parametrize("moment", [0, 1])
def test_what_is_absent_says_nothing(moment: int) -> None:
    model = make_model(outcome="next")
    batch = make_batch(model, rows=3, steps=1)
    there = torch.ones(3, 2, dtype=torch.bool)
    there[0, moment] = False
    noise = {m: codes.clone() for m, codes in batch.state.items()}
    noise[Modality.IMAGE][0, moment] = 0
    one, other = (
        dataclasses.replace(batch, state=state, present={Modality.IMAGE: there})
        for state in (batch.state, noise)
    )
    assert torch.equal(rewards(model, one), rewards(model, other))


def test_a_goal_that_shows_is_learned_from_few_examples() -> None:
    """The goal is a code in any cell of the next image, and the next image is pure chance."""
    losses = {}
    for where in ("action", "next"):
        model = make_model(outcome=where)
        generator = torch.Generator().manual_seed(3)
        codec = model.codec(Modality.IMAGE)

        def windows(rows: int, model=model, codec=codec, generator=generator) -> Batch:
            batch = make_batch(model, rows=rows, steps=1)
            shape = (rows, 2, codec.cells, codec.digits)
            image = torch.randint(0, codec.levels, shape, generator=generator)
            goal = (image[:, 1:, :, :2] == 0).all(-1).any(-1).float()  # (B, 1)
            state = batch.state | {Modality.IMAGE: image}
            return dataclasses.replace(batch, state=state, reward=goal, terminated=goal)

        optimizer = torch.optim.Adam(model.dynamics_parameters(), 3e-3)
        for _ in range(220):
            optimizer.zero_grad()
            model(windows(64)).loss.backward()
            optimizer.step()
        with torch.no_grad():
            losses[where] = float(model(windows(512)).metrics["termination"])
    assert losses["next"] < 0.5 * losses["action"]


def test_other_places_to_read_from_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"use one of \('action', 'next'\)"):
        make_model(outcome="nowhere")
