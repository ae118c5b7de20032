"""Distributions over sequences: inside the space, drawn by keys, moved by what is better."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_world import ACTIONS

from worldgpt_env.actions import ActionValidator
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import ActionSpec
from worldgpt_env.policies.planning.sequences import sequences_of
from worldgpt_env.randomness import seed_keys

KEYS = seed_keys(list(range(500)))


@pytest.mark.parametrize("kind", sorted(ACTIONS))
def test_draws_are_actions_and_a_key_draws_the_same_beside_any_others(kind: str) -> None:
    spec = ACTIONS[kind]
    drawn = sequences_of(spec, 4).draw(KEYS)
    assert drawn.shape[:2] == (500, 4)
    ActionValidator(spec).many(np.concatenate(drawn), 2000)  # refuses what is outside
    assert np.array_equal(sequences_of(spec, 4).draw(KEYS[7:9]), drawn[7:9])
    assert len(np.unique(drawn.reshape(500, -1), axis=0)) > 60  # of 81 at least


def test_choices_are_drawn_evenly_and_the_unknown_word_never() -> None:
    drawn = sequences_of(ACTIONS["multidiscrete"], 4).draw(KEYS)
    for part, size in enumerate((3, 2)):
        share = np.bincount(drawn[..., part].ravel(), minlength=3) / 2000
        assert np.allclose(share[:size], 1 / size, atol=0.05) and not share[size:].any()
    words = sequences_of(ACTIONS["text"], 4).draw(KEYS)
    assert set(np.unique(words)) == {0, *range(2, len(ACTIONS["text"].names))}


@pytest.mark.parametrize("kind", sorted(ACTIONS))
def test_fitting_moves_towards_the_better_ones_and_rules_nothing_out(kind: str) -> None:
    spec = ACTIONS[kind]
    widest = sequences_of(spec, 4)
    drawn = widest.draw(KEYS)
    target = drawn[0]
    fitted = widest.fitted(drawn[:1], np.ones(1), kept=0.2)
    before, after = ((s.draw(KEYS) == target).mean() for s in (widest, fitted))
    if kind == "box":
        before, after = (-np.abs(s.draw(KEYS) - target).mean() for s in (widest, fitted))
    assert after > before + 0.3
    assert np.allclose(widest.fitted(drawn[:1], np.ones(1), kept=0.0).middle(), target)
    if kind != "box":
        assert set(np.unique(fitted.draw(KEYS))) == set(np.unique(drawn))
    assert np.allclose(widest.around(target, 1.0).middle(), target)


def test_a_spread_that_does_not_narrow_stays() -> None:
    still = sequences_of(ACTIONS["box"], 4, narrowing=False)
    elite = still.draw(KEYS[:1])
    narrow = sequences_of(ACTIONS["box"], 4).fitted(elite, np.ones(1), 0.0).draw(KEYS)
    wide = still.fitted(elite, np.ones(1), 0.0).draw(KEYS)
    assert (wide.std(0) > 2 * narrow.std(0)).all() and (narrow.std(0) > 0).all()


def test_endless_bounds_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="finite"):
        sequences_of(ActionSpec("box", (1,), (), (-np.inf,), (1.0,)), 3)
