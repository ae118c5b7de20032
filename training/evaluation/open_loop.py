"""What a world model predicts along a recording: step by step, or in open loop."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import Prediction, State
from worldgpt_env.model.transitions import TransitionStore


@dataclass(frozen=True)
class Predictions:
    """Predictions of ``N`` recorded time steps, in their order."""

    state: np.ndarray  # (N,) int64, the last real time step that the model was given
    next_state: np.ndarray  # (N,) int64, the time step that was predicted
    codes: State  # of the prediction, per modality (N, C, G) in the recording's dtype
    reward: np.ndarray  # (N,) float32, of the likelier outcome: going on, or ending
    termination: np.ndarray  # (N,) float32 probability
    uncertainty: np.ndarray  # (N,) float32


@dataclass(frozen=True)
class _Part:
    """Predictions of one step of some segments: numbers of the segments, steps ahead, outputs."""

    segment: np.ndarray
    ahead: int
    codes: State
    signals: list[Tensor]


def predict_steps(model: WorldGPT, data: TransitionStore, batch_size: int = 64) -> Predictions:
    """Predict every recorded step once, each from the real states before it in its episode."""
    first, last = data.first, data.first + data.steps
    every = range(1, int(data.steps.max()) + 1)
    parts = list(_roll(model, data, first, last, False, every, batch_size))
    state = np.concatenate([first[part.segment] + part.ahead - 1 for part in parts])
    return _joined(parts, state, state + 1)


def predict_open_loop(
    model: WorldGPT, data: TransitionStore, horizons: Sequence[int], batch_size: int = 64
) -> dict[int, Predictions]:
    """Predict ``horizons`` steps ahead by the recorded actions, from one real state each.

    The model begins anew every ``max(horizons)`` steps of an episode, without history as dreams do.

    Returns:
        Per horizon the predictions that the recording is long enough for; ``reward``,
        ``termination`` and ``uncertainty`` are those of the last step.
    """
    offsets = [np.arange(0, steps, max(horizons)) for steps in data.steps]
    counts = [len(part) for part in offsets]
    first = np.repeat(data.first, counts) + np.concatenate(offsets)
    last = np.repeat(data.first + data.steps, counts)
    parts = list(_roll(model, data, first, last, True, frozenset(horizons), batch_size))
    found = {}
    for ahead in horizons:
        if own := [part for part in parts if part.ahead == ahead]:
            state = first[np.concatenate([part.segment for part in own])]
            found[ahead] = _joined(own, state, state + ahead)
    return found


def _roll(
    model: WorldGPT,
    data: TransitionStore,
    first: np.ndarray,
    last: np.ndarray,
    open_loop: bool,
    wanted: Container[int],
    batch_size: int,
) -> Iterator[_Part]:
    """Yield the ``wanted`` steps of the segments from ``first`` to ``last`` ``(S,)``.

    Segments of like length lie side by side, so that few rows go on in vain. The most likely
    outcome is taken.
    """
    order = np.argsort(first - last, kind="stable")  # the longest first
    for chunk in np.split(order, range(batch_size, len(order), batch_size)):
        engine = model.imagination(len(chunk), temperature=0.0)
        start, end = first[chunk], last[chunk]
        state: State = {}
        for ahead in range(1, int((end - start).max()) + 1):
            step = torch.from_numpy(np.minimum(start + ahead - 1, end - 1))
            if not open_loop or ahead == 1:
                state = recorded_state(data, step)
                state = {m: codes.to(model.device) for m, codes in state.items()}
            out = engine.step(state, data.action[step].to(model.device))
            state = out.state
            if ahead in wanted:
                kept = np.flatnonzero(start + ahead <= end)
                codes = {m: x.cpu()[kept].to(data.state[m].dtype) for m, x in state.items()}
                yield _Part(chunk[kept], ahead, codes, [x[kept] for x in _signals(out)])


def recorded_state(data: TransitionStore, steps: Tensor) -> State:
    """Return the codes of recorded time steps as a model reads them."""
    state = {m: codes[steps] for m, codes in data.state.items()}
    return {m: x if x.is_floating_point() else x.long() for m, x in state.items()}


def _signals(out: Prediction) -> list[Tensor]:
    """Return reward of the likelier outcome, chance of the end, and uncertainty, ``(B,)`` each."""
    going_on, ending = out.rewards.unbind(-1)
    reward = torch.where(out.termination > 0.5, ending, going_on)
    return [signal.cpu() for signal in (reward, out.termination, out.uncertainty)]


def _joined(parts: Sequence[_Part], state: np.ndarray, next_state: np.ndarray) -> Predictions:
    """Return the predictions of all parts in the order of the recording."""
    order = np.argsort(next_state, kind="stable")
    codes = {m: torch.cat([part.codes[m] for part in parts])[order] for m in parts[0].codes}
    signals = [torch.cat([part.signals[i] for part in parts]).numpy()[order] for i in range(3)]
    return Predictions(state[order], next_state[order], codes, *signals)
