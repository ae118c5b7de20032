"""Balanced draws: every group its share, what small ones leave to the others, repeatable."""

import numpy as np
import pytest

from worldgpt_env.training.balanced import balanced_rows

GROUPS = ["a"] * 3 + ["b"] * 50 + ["c"] * 20


@pytest.mark.parametrize(
    ("count", "shares"),
    [(9, [3, 3, 3]), (30, [3, 14, 13]), (43, [3, 20, 20]), (60, [3, 37, 20]), (99, [3, 50, 20])],
)
def test_what_small_groups_leave_goes_to_the_others(count: int, shares: list[int]) -> None:
    rows = balanced_rows(GROUPS, count, seed=1)
    drawn = np.array(GROUPS)[rows]
    assert [int((drawn == name).sum()) for name in "abc"] == shares
    assert rows.tolist() == sorted(set(rows.tolist()))  # in order, none twice


def test_a_seed_draws_the_same_rows_and_another_one_others() -> None:
    first, again, other = (balanced_rows(GROUPS, 30, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_of_nothing_nothing_is_drawn() -> None:
    assert balanced_rows([], 5, 0).tolist() == [] == balanced_rows(GROUPS, 0, 0).tolist()
