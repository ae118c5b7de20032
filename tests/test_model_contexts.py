"""Contexts: parts that belong together, chosen rows, several in one line."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from worldgpt_env.model.contexts import Contexts
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality

IMAGE, TEXT = Modality.IMAGE, Modality.TEXT


def contexts(rows: int, count: int, first: int = 0, **parts: object) -> Contexts:
    number = first + torch.arange(rows * count).view(rows, count)
    codes = number[..., None, None].expand(rows, count, 3, 2)
    made = Contexts(
        {IMAGE: codes}, number, {IMAGE: codes + 1}, number >= 0, torch.zeros(rows, count)
    )
    return dataclasses.replace(made, **parts)  # type: ignore[arg-type]


def test_rows_are_chosen_as_copies() -> None:
    whole = contexts(3, 2, present={IMAGE: torch.tensor([[True, False]] * 3)})
    chosen = whole.select(torch.tensor([2, 2, 0]))
    assert len(chosen) == 3 and chosen.count == 2
    assert chosen.action.tolist() == [[4, 5], [4, 5], [0, 1]]
    assert chosen.present[IMAGE].tolist() == [[True, False]] * 3
    chosen.state[IMAGE].zero_()
    assert whole.state[IMAGE][2, 1, 0, 0] == 5


def test_parts_stand_one_behind_the_other_and_name_what_is_absent() -> None:
    lacking = contexts(2, 1, 100, present_next={IMAGE: torch.tensor([[False], [True]])})
    joined = Contexts.join([contexts(2, 2), lacking])
    assert joined.count == 3 and joined.present == {}
    assert joined.action.tolist() == [[0, 1, 100], [2, 3, 101]]
    assert joined.next_state[IMAGE][0, 2, 0, 0] == 101
    assert joined.present_next[IMAGE].tolist() == [[True, True, False], [True, True, True]]


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="action"):
        contexts(2, 2, action=torch.zeros(2, 3))
    with pytest.raises(ConfigurationError, match="rows"):
        Contexts.join([contexts(2, 2), contexts(3, 2)])
    other = contexts(2, 2)
    words = dataclasses.replace(other, state={TEXT: other.state[IMAGE]})
    with pytest.raises(ConfigurationError, match="text"):
        Contexts.join([other, words])
    with pytest.raises(ConfigurationError, match="at least one"):
        Contexts.join([])
