"""Splits: by source, never shared, every scenario everywhere, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.training.worldnet.builders.splits import SplitShares, split_blocks, split_sources

SOURCES = {f"{game}-{n}": game for game in ("pong", "freeway", "doom") for n in range(40)}


def test_every_scenario_is_in_every_split_by_its_share() -> None:
    drawn = split_sources(SOURCES, SplitShares(0.1, 0.2), seed=3)
    assert list(drawn) == list(SOURCES)
    for game in ("pong", "freeway", "doom"):
        counts = Counter(split for source, split in drawn.items() if SOURCES[source] == game)
        assert counts == {"train": 28, "test": 4, "knowledge": 8}


def test_the_order_of_the_sources_does_not_matter_and_the_seed_does() -> None:
    backwards = dict(reversed(SOURCES.items()))
    assert split_sources(backwards, seed=1) == split_sources(SOURCES, seed=1)
    assert split_sources(SOURCES, seed=1) != split_sources(SOURCES, seed=2)


@example(3, 0.5, 0.25, 0)  # 1.5 sources are rounded to 2, which left none for knowledge
@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.floats(0, 0.5), st.floats(0, 0.49), st.integers(0, 5))
def test_something_is_always_left_to_train_on(
    count: int, test: float, knowledge: float, seed: int
) -> None:
    drawn = split_sources({str(n): "one" for n in range(count)}, SplitShares(test, knowledge), seed)
    counts = Counter(drawn.values())
    assert counts["train"] >= 1 and counts.total() == count
    if count >= 3:
        assert bool(counts["test"]) == bool(test) and bool(counts["knowledge"]) == bool(knowledge)


def test_blocks_hold_every_split_and_are_the_same_again() -> None:
    first = list(islice(split_blocks("pong", seed=4), 60))
    assert first == list(islice(split_blocks("pong", seed=4), 60))
    for block in range(6):
        counts = Counter(first[10 * block : 10 * block + 10])
        assert counts == {"train": 8, "test": 1, "knowledge": 1}


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.5, 0.5), (float("nan"), 0.1)])
def test_shares_that_leave_nothing_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ConfigurationError, match="leave something to train on"):
        SplitShares(*shares)
