"""Probes: single imagined steps along real episodes, beside what really came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldgpt_env.model.errors import ConfigurationError

from ..evaluation.metrics import ranking
from ..intervals import cluster_bootstrap
from .card import CONSISTENCY, END, ERRORS, REWARD, UNFAMILIAR, Bar, Figure
from .episodes import Transitions
from .protocol import Observation, TrustedWorld, WorldStep

CORRUPTED = 0.3
"""Share of the elements of an observation that chance replaces."""
POSSIBLE_END = 0.05
"""Steps whose end is more likely than this judge the probability of ends."""
BINS, FEW = 5, 20


@dataclass(frozen=True)
class Predicted:
    """What a model says of ``N`` single steps; None for signals that it lacks."""

    seen: Observation  # (N, ...) per key, what an agent sees of the next states
    end_probability: np.ndarray  # (N,)
    expected_reward: np.ndarray  # (N,)
    uncertainty: np.ndarray | None  # (N,)
    consistency: np.ndarray | None  # (N,)

    @classmethod
    def of(cls, step: WorldStep, seen: Observation) -> Predicted:
        """Return what one step of many rows tells."""
        expected = step.reward if step.expected_reward is None else step.expected_reward
        return cls(seen, step.end_probability, expected, step.uncertainty, step.consistency)

    def rows(self, rows: np.ndarray) -> Predicted:
        """Return some rows, by number or by a mask."""
        doubts = (
            None if signal is None else signal[rows]
            for signal in (self.uncertainty, self.consistency)
        )  # fmt: skip
        seen = {key: value[rows] for key, value in self.seen.items()}
        return Predicted(seen, self.end_probability[rows], self.expected_reward[rows], *doubts)

    @classmethod
    def join(cls, parts: Sequence[Predicted]) -> Predicted:
        """Return the rows of all ``parts``, one behind the other."""
        seen = {key: np.concatenate([part.seen[key] for part in parts]) for key in parts[0].seen}
        chance, reward, *doubts = (
            None if any(x is None for x in signals) else np.concatenate(signals)
            for signals in (
                [getattr(part, name) for part in parts]
                for name in ("end_probability", "expected_reward", "uncertainty", "consistency")
            )
        )
        return cls(seen, _known(chance), _known(reward), *doubts)


def predict(world: TrustedWorld, steps: Transitions, state: Observation | None = None) -> Predicted:
    """Imagine each of ``N`` real steps, from all real states before it in its episode.

    Args:
        world: to be judged.
        steps: whole episodes, one behind the other.
        state: ``(N, ...)`` per key, in place of their states.
    """
    observations = steps.state if state is None else state
    _, first, lengths = np.unique(steps.episode, return_index=True, return_counts=True)
    places, told, dream = [], [], None
    for number in range(int(lengths.max())):
        rows = first + np.minimum(number, lengths - 1)
        now = {key: value[rows] for key, value in observations.items()}
        begun = world.reset(now, 0) if dream is None else world.correct(dream, now, number)
        step = world.step(begun, steps.action[rows])
        seen, dream, going = world.observe(step.state), step.state, number < lengths
        places.append(rows[going])
        told.append(Predicted.of(step, seen).rows(going))
    order = np.argsort(np.concatenate(places))
    return Predicted.join(told).rows(order)


def errors(predicted: Observation, real: Observation, scale: dict[str, float]) -> np.ndarray:
    """Return the mean error of each row over keys, ``(N,)``, each key in units of its ``scale``."""
    parts = []
    for key, value in predicted.items():
        error = np.abs(value.astype(np.float64) - real[key]).reshape(len(value), -1).mean(1)
        parts.append(error / scale[key])
    return np.array(np.mean(parts, 0)).round(6)


def scale_of(real: Observation) -> dict[str, float]:
    """Return how far the elements of each key are from their means, on average; 1 if nowhere."""
    spread = {k: float(np.abs(x - x.mean(0, dtype=np.float64)).mean()) for k, x in real.items()}
    return {key: value or 1.0 for key, value in spread.items()}


def probe_figures(world: TrustedWorld, play: Transitions, agent: Transitions) -> list[Figure]:
    """Return the figures of single steps.

    Args:
        world: to be judged.
        play: held-out random play.
        agent: steps of the best policy.
    """
    predicted, other = predict(world, play), predict(world, agent)
    return [
        *calibration_figures(Predicted.join([predicted, other]), Transitions.join([play, agent])),
        *uncertainty_figures(world, predicted, other, play, agent),
        *consistency_figures(world, predicted, play),
    ]


def calibration_figures(predicted: Predicted, steps: Transitions) -> list[Figure]:
    """Return the errors of ends and rewards, over random play and the best policy together."""
    return [
        _end_figure(predicted.end_probability, steps),
        _reward_figure(predicted.expected_reward, steps),
    ]


def calibration_error(chance: np.ndarray, happened: np.ndarray) -> float | None:
    """Return the mean distance of chance and share over bins of about as many rows ``(N,)``.

    Equal chances share a bin. None for fewer than 20 rows.
    """
    if len(chance) < FEW:
        return None
    edges = np.unique(np.quantile(chance, np.arange(1, BINS) / BINS))
    place = np.searchsorted(edges, chance)
    gaps = np.bincount(place, chance - happened, len(edges) + 1)
    return float(np.abs(gaps).sum() / len(chance))


def _end_figure(chance: np.ndarray, steps: Transitions) -> Figure:
    name, possible = "end: calibration error where p > .05", chance > POSSIBLE_END
    rows, ends = int(possible.sum()), int(steps.ended.sum())
    if rows < FEW:
        if ends >= FEW:
            found = cluster_bootstrap(lambda _: 1.0, steps.episode, samples=1)
            return Figure(name, found, END, f"the model foresees none of {ends} ends: counted as 1")
        return Figure(name, None, END, f"not measured: {rows} steps with p > .05, {ends} ends")
    chosen, happened = chance[possible], steps.ended[possible]
    found = cluster_bootstrap(
        lambda drawn: calibration_error(chosen[drawn], happened[drawn]), steps.episode[possible]
    )
    told = f"{rows} steps; {chance.sum():.1f} ends promised and {ends} seen, over all steps"
    return Figure(name, found, END, told)


def _reward_figure(promised: np.ndarray, steps: Transitions) -> Figure:
    """Return how far the top fifth of promises lies from real rewards, of the larger of both."""
    name = "reward: error of the top fifth promised"
    if np.ptp(steps.reward) == 0:
        return Figure(name, None, REWARD, "not measured: every real reward is the same")

    def sides(rows: np.ndarray) -> tuple[float, float]:
        top = rows[np.argsort(-promised[rows], kind="stable")[: max(1, len(rows) // 5)]]
        return float(promised[top].mean()), float(steps.reward[top].mean())

    def error(rows: np.ndarray) -> float:
        promise, paid = sides(rows)
        largest = max(abs(promise), abs(paid))
        return (promise - paid) / largest if largest else 0.0

    promise, paid = sides(np.arange(len(promised)))
    found = cluster_bootstrap(error, steps.episode)
    return Figure(name, found, REWARD, f"promised {promise:.3f} a step, paid {paid:.3f}")


def uncertainty_figures(
    world: TrustedWorld,
    predicted: Predicted,
    other: Predicted,
    play: Transitions,
    agent: Transitions,
) -> list[Figure]:
    """Return how well uncertainty finds errors, corrupted states and unfamiliar ones."""
    doubt = predicted.uncertainty
    if doubt is None:
        bars = {HELD_OUT: ERRORS, NOISY: UNFAMILIAR, ELSEWHERE: None}
        note = "not measured: the model tells no uncertainty"
        return [Figure(name, None, bar, note) for name, bar in bars.items()]
    noisy = corrupt(play.state, 0)
    changed, doubts = _differing(noisy, play.state), predict(world, play, noisy).uncertainty
    both, every = Transitions.join([play, agent]), Predicted.join([predicted, other])
    scores = _known(every.uncertainty)
    wrong = errors(every.seen, world.see(both.next_state), scale_of(world.see(play.next_state)))
    bad, agents = worst_tenth(wrong), np.arange(len(both)) >= len(play)
    found = f"{bad.sum()} of {len(bad)} steps"
    far = f"mean error {wrong[agents].mean():.3f} there, {wrong[~agents].mean():.3f} in random play"
    return [
        _area(HELD_OUT, ERRORS, scores, bad, both.episode, found),
        _told_apart(NOISY, UNFAMILIAR, doubt, doubts, play.episode, changed),
        _area(ELSEWHERE, None, scores, agents, both.episode, far),
    ]


HELD_OUT = "uncertainty: worst tenth of errors, held out"
NOISY = "uncertainty: corrupted states"
ELSEWHERE = "uncertainty: states of the best policy"


def worst_tenth(error: np.ndarray) -> np.ndarray:
    """Return which errors ``(N,)`` are the worst tenth, fewer where fewer steps are wrong."""
    limit = float(np.quantile(error, 0.9))
    above = error > limit
    return above if above.any() or limit == 0 else error >= limit


def corrupt(observations: Observation, seed: int) -> Observation:
    """Return observations of which three in ten elements are drawn anew within what was seen."""
    generator = np.random.default_rng(seed)
    found = {}
    for key, value in observations.items():
        low, high = value.min(0), value.max(0)
        drawn: np.ndarray
        if value.dtype.kind in "iu":
            drawn = generator.integers(low, high, value.shape, endpoint=True)
        else:
            drawn = generator.uniform(low, high, value.shape)
        found[key] = np.where(generator.random(value.shape) < CORRUPTED, drawn, value)
        found[key] = found[key].astype(value.dtype)
    return found


def consistency_figures(
    world: TrustedWorld, predicted: Predicted, play: Transitions
) -> list[Figure]:
    """Return how well consistency finds states of which one modality is of another time step."""
    agreed = predicted.consistency
    if agreed is None or len(play.state) < 2:
        note = "not measured: there is one modality, or the model tells no consistency"
        return [Figure("consistency: a modality swapped", None, CONSISTENCY, note)]
    figures, order = [], np.random.default_rng(0).permutation(len(play))
    for key, value in play.state.items():
        name, swapped = f"consistency: {key} swapped", {key: value[order]}
        doubts = -_known(predict(world, play, play.state | swapped).consistency)
        changed = _differing(swapped, play.state)
        figures.append(_told_apart(name, CONSISTENCY, -agreed, doubts, play.episode, changed))
    return figures


def _known(signal: np.ndarray | None) -> np.ndarray:
    """Return a signal that the model has told before.

    Raises:
        ConfigurationError: it tells it no longer.
    """
    if signal is None:
        raise ConfigurationError("the world model tells uncertainty or consistency only sometimes.")
    return signal


def _differing(first: Observation, second: Observation) -> np.ndarray:
    """Return in which rows anything differs, ``(N,)`` bool."""
    parts = [(x != second[k]).reshape(len(x), -1).any(1) for k, x in first.items()]
    return np.array(np.any(parts, 0))


def _told_apart(
    name: str,
    bar: Bar,
    usual: np.ndarray,
    changed: np.ndarray | None,
    episode: np.ndarray,
    among: np.ndarray,
) -> Figure:
    """Return how often a changed state scores higher than a usual one, ``(N,)`` each.

    ``among`` ``(N,)`` bool says which were really changed.
    """
    score = np.concatenate([usual, _known(changed)[among]])
    positive = np.arange(len(score)) >= len(usual)
    return _area(name, bar, score, positive, np.concatenate([episode, episode[among]]), "")


def _area(
    name: str,
    bar: Bar | None,
    score: np.ndarray,
    positive: np.ndarray,
    episode: np.ndarray,
    note: str,
) -> Figure:
    """Return the area under the ROC of ``score`` for ``positive`` ``(N,)``."""
    found = cluster_bootstrap(lambda rows: ranking(score[rows], positive[rows]), episode)
    if found is None:
        note = "not measured: there is nothing to tell apart"
    return Figure(name, found, bar, note)
