"""Walk: what a world model predicts along a recording, step by step or left to itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.batch import Prediction, State
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.model.worldgpt import WorldGPT


@dataclass(frozen=True)
class Walk:
    """Predictions for ``N`` recorded steps, in their order.

    Attributes:
        now: ``(N,)`` int64, the moment that was acted in.
        target: ``(N,)`` int64, the moment that was predicted.
        state: the prediction, per modality ``(N, C, G)`` in the recording's dtype.
        reward: ``(N,)`` float32, of the likelier outcome: going on, or ending.
        termination: ``(N,)`` float32 probability.
        uncertainty: ``(N,)`` float32.
    """

    now: np.ndarray
    target: np.ndarray
    state: State
    reward: np.ndarray
    termination: np.ndarray
    uncertainty: np.ndarray


def walk_along(model: WorldGPT, data: TransitionStore, rows: int = 64) -> Walk:
    """Predict every recorded step once, each from the real states before it in its episode.

    The most likely outcome is taken. Episodes lie side by side in ``rows`` rows; a row that has
    come to the end of its episode takes the next one and forgets the last.
    """
    now = _acted(data)  # (N,) moments, episode by episode
    begins = np.concatenate([[0], np.cumsum(data.steps)])  # step at which each episode begins
    rows = min(rows, len(data.steps))
    engine = model.imagination(rows, temperature=0.0)
    waiting = list(range(rows, len(data.steps)))
    step, stop = begins[:rows].copy(), begins[1 : rows + 1].copy()
    live = np.ones(rows, bool)
    parts: list[tuple[np.ndarray, State, list[Tensor]]] = []
    while live.any():
        place = torch.from_numpy(now[np.minimum(step, stop - 1)])
        state = {m: codes[place].long().to(model.device) for m, codes in data.state.items()}
        out = engine.step(state, data.action[place].to(model.device))
        kept = torch.from_numpy(np.flatnonzero(live))
        codes = {m: c.cpu()[kept].to(data.state[m].dtype) for m, c in out.state.items()}
        signals = [signal[kept] for signal in _signals(out)]
        parts.append((step[live], codes, signals))
        step += live
        for row in np.flatnonzero(live & (step == stop)):
            live[row] = bool(waiting)
            if waiting:
                episode = waiting.pop(0)
                step[row], stop[row] = begins[episode], begins[episode + 1]
                engine.reset(torch.tensor([row]))
    return _in_order(now, parts)


def walk_alone(
    model: WorldGPT, data: TransitionStore, horizons: Sequence[int], rows: int = 64
) -> dict[int, Walk]:
    """Predict ``horizons`` steps ahead by the recorded actions, from one real state each.

    Walks start at every ``max(horizons)`` steps of an episode, as dreams start: without history.

    Returns:
        Per horizon the predictions of all walks that the recording is long enough for; ``reward``,
        ``termination`` and ``uncertainty`` are those of the last step.
    """
    longest = max(horizons)
    starts = np.concatenate(
        [f + np.arange(0, n, longest) for f, n in zip(data.first, data.steps, strict=True)]
    )
    ends = np.concatenate(
        [
            np.full(len(range(0, n, longest)), f + n)
            for f, n in zip(data.first, data.steps, strict=True)
        ]
    )
    found: dict[int, list[tuple[np.ndarray, State, list[Tensor]]]] = {h: [] for h in horizons}
    for first in range(0, len(starts), rows):
        chosen = slice(first, first + rows)
        start, end = starts[chosen], ends[chosen]
        engine = model.imagination(len(start), temperature=0.0)
        state = {m: c[torch.from_numpy(start)].long() for m, c in data.state.items()}
        state = {m: codes.to(model.device) for m, codes in state.items()}
        for ahead in range(1, min(longest, int((end - start).max())) + 1):
            acted = torch.from_numpy(np.minimum(start + ahead - 1, end - 1))
            out = engine.step(state, data.action[acted].to(model.device))
            state = out.state
            if ahead in found:
                kept = np.flatnonzero(start + ahead <= end)
                codes = {m: c.cpu()[kept].to(data.state[m].dtype) for m, c in out.state.items()}
                signals = [signal[kept] for signal in _signals(out)]
                found[ahead].append((first + kept, codes, signals))
    return {h: _in_order(starts, parts, h) for h, parts in found.items() if parts}


def _acted(data: TransitionStore) -> np.ndarray:
    """Return the moments that were acted in, ``(N,)``: all but the last of each episode."""
    episodes = zip(data.first, data.steps, strict=True)
    return np.concatenate([np.arange(first, first + steps) for first, steps in episodes])


def _signals(out: Prediction) -> list[Tensor]:
    """Return reward of the likelier outcome, chance of the end, and uncertainty, ``(B,)`` each."""
    going_on, ending = out.rewards.unbind(-1)
    reward = torch.where(out.termination > 0.5, ending, going_on)
    return [signal.cpu() for signal in (reward, out.termination, out.uncertainty)]


def _in_order(
    now: np.ndarray, parts: list[tuple[np.ndarray, State, list[Tensor]]], ahead: int = 1
) -> Walk:
    """Join the predictions of many rows in the order of the recording."""
    place = np.concatenate([where for where, _, _ in parts])
    order = np.argsort(place, kind="stable")
    state = {m: torch.cat([codes[m] for _, codes, _ in parts])[order] for m in parts[0][1]}
    signals = [torch.cat([s[i] for _, _, s in parts]).numpy()[order] for i in range(3)]
    moments = now[place[order]]
    return Walk(moments, moments + ahead, state, *signals)
