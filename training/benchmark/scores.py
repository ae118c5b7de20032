"""Scores of a benchmark: interquartile means over seeds, beside each other and beside published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..evaluation.plots import Panel, draw_lines
from ..intervals import (
    Interval,
    difference_interval,
    interquartile_mean,
    stratified_bootstrap,
)
from ..results_io import Figures, Result, to_json
from ..tables import markdown_table
from .published import REFERENCES

OURS, CONTROL = "dyna", "alone"
EQUAL = 0.02
"""Share of what lies between random play and a very good agent that two equal scores differ by."""


@dataclass(frozen=True)
class Curve:
    """One run: real returns ``(P,)`` after ``(P,)`` real steps, and its CPU-seconds."""

    real_steps: tuple[int, ...]
    returns: tuple[float, ...]
    cpu_seconds: float

    @classmethod
    def of(cls, rounds: Sequence[Figures]) -> Curve:
        """Return the curve of the rounds of ``worldgpt dyna --env`` or ``worldgpt alone``."""
        return cls(
            tuple(int(part["real_steps"]) for part in rounds),
            tuple(float(part["judgement"]["return"]) for part in rounds),
            sum(float(part["cpu_seconds"]) for part in rounds),
        )

    def at(self, real_steps: int) -> float:
        """Return the newest return of at most ``real_steps``; the first if all came later.

        PPO is judged after whole rollouts, so that it may have had up to one rollout more.
        """
        known = np.searchsorted(self.real_steps, real_steps, side="right") - 1
        return self.returns[max(int(known), 0)]


@dataclass(frozen=True)
class WorldScores:
    """The runs of each agent in one world."""

    runs: dict[str, list[Curve]]

    def places(self, agent: str) -> list[int]:
        """Return the real steps after which all runs of ``agent`` were judged."""
        return sorted(set.intersection(*(set(run.real_steps) for run in self.runs[agent])))

    def score(self, agent: str, real_steps: int) -> Interval:
        """Return the interquartile mean over seeds after ``real_steps``, with its interval."""
        returns = np.array([[run.at(real_steps)] for run in self.runs[agent]])
        return stratified_bootstrap(returns)

    def final(self, agent: str) -> Interval:
        """Return the score after all real steps of ``agent``."""
        return self.score(agent, self.places(agent)[-1])

    def value(self, agent: str, real_steps: int) -> float:
        """Return the interquartile mean over seeds after ``real_steps``."""
        return interquartile_mean([run.at(real_steps) for run in self.runs[agent]])

    def steps_to(self, agent: str, wanted: float) -> int | None:
        """Return the real steps after which the score of ``agent`` first is ``wanted``."""
        return next((n for n in self.places(agent) if self.value(agent, n) >= wanted), None)

    def difference(self) -> Interval:
        """Return the mean of ours less that of the control at equal real steps, by Welch's t."""
        steps = self.places(OURS)[-1]
        control, ours = ([run.at(steps) for run in self.runs[a]] for a in (CONTROL, OURS))
        return difference_interval(control, ours)

    def fewer(self, span: float) -> tuple[int, int] | None:
        """Return the real steps with which each of both agents first is as good as the control.

        As good: its best score over all its real steps, less :data:`EQUAL` of ``span``, what lies
        between random play and a very good agent. The control's steps come first. None if one of
        them was not run, or ours never gets there.
        """
        if OURS not in self.runs or CONTROL not in self.runs:
            return None
        best = max(self.value(CONTROL, n) for n in self.places(CONTROL))
        needed, ours = (self.steps_to(agent, best - EQUAL * span) for agent in (CONTROL, OURS))
        return None if ours is None or needed is None else (needed, ours)

    def cpu_seconds(self, agent: str) -> float:
        """Return the mean over runs."""
        return float(np.mean([run.cpu_seconds for run in self.runs[agent]]))


@dataclass(frozen=True)
class BenchmarkResult(Result):
    """All runs of a benchmark, per world and agent, in the order of ``seeds``."""

    worlds: dict[str, WorldScores]
    seeds: tuple[int, ...]

    def to_json(self) -> Figures:
        """Return the scores and the curves behind them."""
        found: Figures = {"seeds": list(self.seeds), "worlds": {}}
        for env, world in self.worlds.items():
            fewer = world.fewer(self._span(env))
            both = {OURS, CONTROL} <= set(world.runs)
            found["worlds"][env] = {
                "difference": world.difference().to_json() if both else None,
                "fewer": None if fewer is None else {"alone": fewer[0], "dyna": fewer[1]},
                "agents": {
                    agent: {
                        "final": world.final(agent).to_json(),
                        "cpu_seconds": world.cpu_seconds(agent),
                        "runs": [vars(run) for run in runs],
                    }
                    for agent, runs in world.runs.items()
                },
            }
        better = self.probability_of_improvement()
        found["probability_of_improvement"] = None if better is None else better.to_json()
        return dict(to_json(found))

    def probability_of_improvement(self) -> Interval | None:
        """Return how often a run from the dream beats one without it, at equal real steps.

        The mean over worlds, equal returns count half (Agarwal et al. 2021); None without both.
        """
        pairs = [w for w in self.worlds.values() if {OURS, CONTROL} <= set(w.runs)]
        if not pairs:
            return None
        budgets = [world.places(OURS)[-1] for world in pairs]
        sides = [
            np.array(
                [[run.at(n) for run in w.runs[agent]] for w, n in zip(pairs, budgets, strict=True)]
            ).T
            for agent in (OURS, CONTROL)
        ]  # (runs, worlds) each

        def share(scores: np.ndarray) -> float:
            ours, control = np.split(scores, 2, axis=1)
            return float(np.mean(np.sign(ours[:, None] - control[None]) / 2 + 0.5))

        return stratified_bootstrap(np.concatenate(sides, axis=1), share)

    def normalised(self, agent: str) -> Interval | None:
        """Return the score of ``agent`` over all worlds with a reference, at Dyna's real steps.

        0 is random play, 1 a very good agent, see :data:`~.published.REFERENCES`.
        """
        known = [
            env for env, world in self.worlds.items() if env in REFERENCES and agent in world.runs
        ]
        columns = [self._normalised(env, agent) for env in known]
        return stratified_bootstrap(np.array(columns).T) if columns else None

    def _normalised(self, env: str, agent: str) -> list[float]:
        world, reference = self.worlds[env], REFERENCES[env]
        steps = world.places(OURS if OURS in world.runs else agent)[-1]
        span = reference.solved - reference.random
        return [(run.at(steps) - reference.random) / span for run in world.runs[agent]]

    def table(self) -> str:
        """Return a row for each world and agent at Dyna's real steps, and what others published."""
        rows = []
        for env, world in self.worlds.items():
            steps = world.places(OURS if OURS in world.runs else next(iter(world.runs)))[-1]
            for agent in world.runs:
                last = world.places(agent)[-1]
                for count in dict.fromkeys((min(steps, last), last)):
                    score = world.score(agent, count)
                    spent = f"{world.cpu_seconds(agent):.0f}" if count == last else ""
                    rows.append([env, agent, f"{count:,}", _shown(score), spent])
            for other in REFERENCES[env].published if env in REFERENCES else ():
                told = f"{other.value:.1f}"
                rows.append(
                    [env, f"{other.agent}, {other.source}", f"{other.real_steps:,}", told, ""]
                )
        header = ["world", "agent", "real steps", "real return, IQM [95 %]", "CPU-s"]
        return markdown_table(header, rows)

    def needed(self) -> str:
        """Return a row for each world: the real steps to be as good as the agent alone."""
        rows = []
        for env, world in self.worlds.items():
            if {OURS, CONTROL} <= set(world.runs):
                difference = _shown(world.difference())
                told = [*_ratio(world.fewer(self._span(env))), *self._beside(env)]
                rows.append([env, difference, *told])
        header = ["world", "dyna less alone [95 %]", "alone needs", "dyna needs", "times fewer"]
        header += ["published", "dyna needs for that", "times fewer"]
        return markdown_table(header, rows) if rows else ""

    def _span(self, env: str) -> float:
        """Return what lies between random play and a very good agent, or all that was measured."""
        if env in REFERENCES:
            return REFERENCES[env].solved - REFERENCES[env].random
        returns = [
            x for runs in self.worlds[env].runs.values() for run in runs for x in run.returns
        ]
        return max(returns) - min(returns)

    def _beside(self, env: str) -> list[str]:
        """Return the published figure of the fewest real steps, and what Dyna needs for it."""
        published = REFERENCES[env].published if env in REFERENCES else ()
        if not published:
            return ["–"] * 3
        first = min(published, key=lambda other: other.real_steps)
        ours = self.worlds[env].steps_to(OURS, first.value - EQUAL * self._span(env))
        told = f"{first.agent} {first.value:.1f} at {first.real_steps:,}"
        return [told, *_ratio(None if ours is None else (first.real_steps, ours))[1:]]


def report(result: BenchmarkResult) -> str:
    """Return what is printed."""
    parts = [result.table(), result.needed()]
    if better := result.probability_of_improvement():
        parts.append(f"probability that dyna beats alone at equal real steps: {better}")
    for agent in dict.fromkeys(agent for world in result.worlds.values() for agent in world.runs):
        if score := result.normalised(agent):
            parts.append(f"{agent}, normalised IQM over worlds: {score}")
    return "\n\n".join(part for part in parts if part)


def draw(result: BenchmarkResult, path: Path) -> None:
    """Write a PNG with the curves of all worlds."""
    panels = [
        Panel(env, {agent: [_line(run) for run in runs] for agent, runs in world.runs.items()})
        for env, world in result.worlds.items()
    ]
    draw_lines(panels, "real steps", "real return", path)


def _line(run: Curve) -> tuple[np.ndarray, np.ndarray]:
    return np.array(run.real_steps), np.array(run.returns)


def _ratio(fewer: tuple[int, int] | None) -> list[str]:
    """Return the real steps of both and how many times fewer ours are."""
    if fewer is None:
        return ["–", "never", "–"]
    return [f"{fewer[0]:,}", f"{fewer[1]:,}", f"{fewer[0] / fewer[1]:.1f}"]


def _shown(score: Interval) -> str:
    return f"{score.value:.1f} [{score.low:.1f}, {score.high:.1f}]"
