"""The benchmark's cells: each agent lives in each world with each seed; what is done is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from worldgpt_env.model.bounds import EPISODES, STEPS, check_fields
from worldgpt_env.model.checkpoint import refused
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.run_settings import claim_run
from worldgpt_env.model.safe_io import RunLock, write_json
from worldgpt_env.model.safe_json import read_json
from worldgpt_env.worlds import make_world
from worldgpt_env.worlds.gym_world import PREFIX

from ..evaluation.plots import require_matplotlib
from ..numeric.agents import LAST_ROUND, SacRecipe, recipe_for
from ..numeric.alone import AloneConfig, train_alone
from ..numeric.config import NumericDynaConfig
from ..numeric.dyna import check_numeric, numeric_dyna
from .published import DEFAULT_BUDGET, REFERENCES
from .scores import BenchmarkResult, Curve, WorldScores, draw

AGENTS = ("dyna", "once", "alone", "alone-equal")
CURE = "Delete it to measure it again."
SETTINGS, KEPT = "benchmark.json", ("real_steps", "cpu_seconds", "judgement")
LONGER = 5
"""Times as many real steps the agent alone has, so that it may reach what the dream reached."""


@dataclass(frozen=True)
class BenchmarkConfig:
    """What ``worldgpt benchmark`` does.

    Attributes:
        out: folder of the cells, one JSON for each world, agent and seed; repeat the command to go
            on where it was stopped.
        env: ids of Gymnasium environments of numbers; those with published figures by default.
        agents: ``dyna``: learns in dreams of a world model that grows with its real steps.
            ``once``: the same from one recording of random play. ``alone``: Stable-Baselines3's
            agent on real steps alone, five times as many. ``alone-equal``: the same with as many
            gradient steps a real step as ``dyna`` has (SAC).
        seeds: of the runs.
        real_steps: of ``dyna`` and ``once``; by default what the world needs, else 5000.
        episodes: real episodes that judge an agent each time.
        picture: a PNG of the curves; it needs matplotlib.
    """

    out: Path
    env: tuple[str, ...] = tuple(REFERENCES)
    agents: tuple[str, ...] = ("dyna", "alone")
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    real_steps: int | None = None
    episodes: int = 20
    picture: Path | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("env", "agents", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ConfigurationError(f"{name} is empty or names something twice: {values}.")
        if unknown := [name for name in self.agents if name not in AGENTS]:
            raise ConfigurationError(f"there is no agent {unknown[0]!r}; use {', '.join(AGENTS)}.")
        check_fields(self, episodes=(1, EPISODES), real_steps=STEPS)

    def budget(self, env: str) -> int:
        """Return the real steps of the agents in the dream in ``env``."""
        known = REFERENCES.get(env)
        return self.real_steps or (known.budget if known else DEFAULT_BUDGET)


def benchmark(config: BenchmarkConfig) -> BenchmarkResult:
    """Measure what is not measured yet, and return all of it.

    Raises:
        ConfigurationError: a world is none of numbers, or ``out`` holds another benchmark.
        WorldError: a world fails again and again; the cells that are done are kept.
        LockedError: another process writes to ``out``.
    """
    if config.picture:
        require_matplotlib()
    for env in config.env:
        check_numeric(_dyna(config, "dyna", env, 0))  # before anything is written
    with RunLock(config.out):
        _claim(config)
        cells = [(e, a, s) for s in config.seeds for e in config.env for a in config.agents]
        found: dict[str, dict[str, list[Curve]]] = {
            env: {agent: [] for agent in config.agents} for env in config.env
        }
        for env, agent, seed in (bar := tqdm(cells, unit="run", disable=None)):
            bar.set_description(f"{env} {agent} {seed}")
            curve = _cell(config, env, agent, seed)
            if curve is not None:
                found[env][agent].append(curve)
    worlds = {
        env: WorldScores({agent: curves for agent, curves in agents.items() if curves})
        for env, agents in found.items()
    }
    result = BenchmarkResult(worlds, config.seeds)
    if config.picture:
        draw(result, config.picture)
    return result


def _claim(config: BenchmarkConfig) -> None:
    """Write what all cells of ``out`` share, or compare it with what is there."""
    shared = {"real_steps": config.real_steps, "episodes": config.episodes}
    claim_run(config.out / SETTINGS, shared)


def _cell(config: BenchmarkConfig, env: str, agent: str, seed: int) -> Curve | None:
    """Return the curve of one run, from its file if it is done; None if the world has none such."""
    path = config.out / env.replace("/", "-") / f"{agent}-{seed}.json"
    if not path.is_file():
        rounds = _live(config, env, agent, seed)
        write_json(path, {"rounds": rounds})
    told = read_json(path, CURE, figures=True)
    with refused(path, CURE):
        return Curve.of(told["rounds"]) if told["rounds"] else None


def _live(config: BenchmarkConfig, env: str, agent: str, seed: int) -> list[dict[str, Any]]:
    """Run one cell and return its rounds; none if the agent does not act in such a world."""
    dyna = _dyna(config, agent, env, seed)
    if agent in ("dyna", "once"):
        rounds = numeric_dyna(dyna)["rounds"]
        return [{name: part[name] for name in KEPT} for part in rounds]
    often = _updates_per_step(dyna) if agent == "alone-equal" else 1
    if not often:
        return []
    longest = dyna.real_steps * (LONGER if agent == "alone" else 1)
    each = dyna.round_lengths()[0]
    alone = AloneConfig(
        dyna.world, longest, updates_per_step=often, judged_at=tuple(range(each, longest, each)),
        episodes=config.episodes, seed=seed,
    )  # fmt: skip
    rounds = train_alone(alone)["rounds"]
    spent = [0.0, *(part["cpu_seconds"] for part in rounds)]
    own = np.diff(spent).tolist()
    return [part | {"cpu_seconds": used} for part, used in zip(rounds, own, strict=True)]


def _updates_per_step(dyna: NumericDynaConfig) -> int:
    """Return how many gradient steps a real step ``dyna`` has; 0 where its agent is not SAC."""
    world = make_world(dyna.world)
    recipe = recipe_for(world.action_space, dict(dyna.agent))
    world.close()
    if not isinstance(recipe, SacRecipe):
        return 0
    *others, last = dyna.round_lengths()
    updates = sum(map(recipe.updates, others)) + recipe.updates(last, LAST_ROUND)
    return math.ceil(updates / dyna.real_steps)


def _dyna(config: BenchmarkConfig, agent: str, env: str, seed: int) -> NumericDynaConfig:
    budget = config.budget(env)
    return NumericDynaConfig(
        config.out / env.replace("/", "-") / f"{agent}-{seed}",
        PREFIX + env,
        real_steps=budget,
        round_steps=budget if agent == "once" else None,
        episodes=config.episodes,
        seed=seed,
    )
