"""Trust: agents are trained, their returns compared, single steps probed; what is done is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from tqdm import tqdm

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.bounds import COUNT, EPISODES, STEPS, check_fields
from worldgpt_env.model.checkpoint import refused, weights_sha256
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.run_settings import claim_run
from worldgpt_env.model.safe_io import RunLock, write_json
from worldgpt_env.model.safe_json import read_json
from worldgpt_env.model.vector_dynamics.world_model import VectorWorldModel, is_vector_model
from worldgpt_env.policies.baselines import RandomPolicy
from worldgpt_env.policies.store import read_policy
from worldgpt_env.simulator import DEFAULT_WORLD, open_model
from worldgpt_env.worlds import World, make_world
from worldgpt_env.wrappers import check_match

from ..direct import DirectConfig, train_directly
from ..evaluation.plots import Panel, draw_lines, require_matplotlib
from ..imagination import DreamConfig, dream
from .card import PolicyReturns, TrustCard
from .drift import drift_figure
from .episodes import OpenWorld, dream_returns, first_observations, live
from .learned_numbers import LearnedNumbers
from .learned_world import LearnedWorld
from .probes import probe_figures
from .protocol import TrustedWorld
from .ranked_policy import RankedPolicy, stored_policy
from .returns import return_figures

SETTINGS, CURE = "trust.json", "Delete it to measure it again."
REAL, DREAM = "real world", "dream"
FOLLOWED = "ppo-0"
"""The agent of the training curve."""
PARTS = (1, 2, 4, 6, 8)
"""Eighths of the imagined steps after which the agent of the training curve is judged."""
PROBING = 500_000
"""Added to the seed of the real episodes whose single steps are probed."""


@dataclass(frozen=True)
class TrustConfig:
    """What ``worldgpt trust`` does.

    Attributes:
        out: folder of agents and returns; repeat the command to go on where it was stopped.
        model: name of an embedded world, or folder of a model.
        world: name of the real world; the one that the model learned by default.
        world_options: keyword arguments of ``make_world``, beside those that the model met.
        policies: folders of agents to be ranked beside random play; by default eleven are trained,
            in the dream and in the real world. One more is followed along its training.
        imagined_steps: of the longest agent that learns in the dream.
        real_steps: of the longest agent that learns in the real world.
        episodes: of each agent, in the dream and in the real world.
        horizon: steps after which an episode is cut, in both.
        probes: about as many steps of random play, and of the best agent, are probed.
        temperature: of the dreams; the model's own by default.
        seed: of agents, worlds and dreams.
        picture: a PNG of the returns of an agent along its training; it needs matplotlib.
    """

    out: Path
    model: str = DEFAULT_WORLD
    world: str = ""
    world_options: Mapping[str, Any] = field(default_factory=dict)
    policies: tuple[Path, ...] = ()
    imagined_steps: int = 100_000
    real_steps: int = 20_000
    episodes: int = 64
    horizon: int = 100
    probes: int = 2_000
    temperature: float | None = None
    seed: int = 0
    picture: Path | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        check_fields(
            self,
            imagined_steps=STEPS,
            real_steps=STEPS,
            episodes=(2, EPISODES),
            horizon=COUNT,
            probes=COUNT,
            temperature=(0, 100),
        )

    def identity(self) -> dict[str, Any]:
        """Return what all that is kept in ``out`` depends on."""
        free = ("out", "picture", "model")
        return {name: value for name, value in vars(self).items() if name not in free}


def trust(config: TrustConfig) -> TrustCard:
    """Measure the trust card of a model of this package.

    Raises:
        CheckpointError: the model or a policy is missing or damaged.
        ConfigurationError: model, world and policies do not belong together, or ``out`` holds
            another card.
        LockedError: another process writes to ``out``.
    """
    if config.picture:
        require_matplotlib()
    if is_vector_model(config.model):
        return _trust_in_numbers(config)
    model = open_model(config.model)
    met = model.config.world_options if config.world in ("", model.config.world) else {}
    config = replace(
        config,
        world=config.world or model.config.world,
        world_options={**met, **config.world_options},
    )

    def open_world() -> World:
        return make_world(config.world, **config.world_options)

    real = open_world()
    try:
        check_match(real, model)
        given = _given(config, real, model)
    finally:
        real.close()
    with RunLock(config.out):
        _claim(config, {"weights": weights_sha256(model)})
        trial = Trial(config, LearnedWorld(model, config.temperature), open_world)
        card = _measured(trial, model, real, given)
    if config.picture:
        draw(card, config.picture)
    return card


def measure_trust(
    config: TrustConfig,
    world: TrustedWorld,
    open_world: OpenWorld,
    policies: Sequence[RankedPolicy],
    curve: Sequence[tuple[int, RankedPolicy]] = (),
) -> TrustCard:
    """Measure the trust card of any world model.

    Args:
        config: of its fields ``model`` and ``world`` are names for the card alone.
        world: the model.
        open_world: opens the real world.
        policies: independent agents, random play among them.
        curve: one agent along its training in the dream: steps, and the agent as it was then.

    Raises:
        ConfigurationError: fewer than two policies, or ``config.out`` holds another card.
        LockedError: another process writes to ``config.out``.
    """
    if len(policies) < 2 or len({policy.name for policy in policies}) < len(policies):
        raise ConfigurationError("pass at least two policies, each with a name of its own.")
    with RunLock(config.out):
        _claim(config, {"model": config.model})
        trial = Trial(config, world, open_world)
        ranked = {policy.name: trial.returns(policy) for policy in policies}
        followed = [trial.returns(policy, steps) for steps, policy in curve]
        return trial.card(policies, ranked, followed)


class Trial:
    """One model against one real world; returns that were measured are read from ``out``."""

    def __init__(self, config: TrustConfig, world: TrustedWorld, open_world: OpenWorld) -> None:
        """Note where real episodes begin."""
        self.config, self.world, self.open_world = config, world, open_world
        self.seed = config.seed + 10_000
        self.first = first_observations(open_world, config.episodes, self.seed)

    def path(self, name: str, steps: int | None = None) -> Path:
        """Return where the returns of an agent are kept."""
        return self.config.out / "returns" / f"{name if steps is None else f'{name}-{steps}'}.json"

    def returns(self, policy: RankedPolicy, steps: int | None = None) -> PolicyReturns:
        """Return what ``policy`` gets in the dream and in the real world."""
        path, config = self.path(policy.name, steps), self.config
        if not path.is_file():
            args = (config.horizon, self.seed)
            imagined = dream_returns(policy, self.world, self.first, *args)
            lived = live(policy, self.world, self.open_world, config.episodes, *args)
            measured = PolicyReturns(policy.origin, imagined, lived.returns, steps)
            write_json(path, measured.to_json())
        return self.kept(path)

    def kept(self, path: Path) -> PolicyReturns:
        """Return what was measured."""
        told = read_json(path, CURE, figures=True)
        with refused(path, CURE):
            return PolicyReturns.of(told)

    def card(
        self,
        policies: Sequence[RankedPolicy],
        ranked: Mapping[str, PolicyReturns],
        curve: Sequence[PolicyReturns],
    ) -> TrustCard:
        """Return the card; single steps are probed and long dreams imagined here."""
        config = self.config
        best = max(policies, key=lambda policy: float(ranked[policy.name].dream.mean()))
        anyhow = RankedPolicy("random", self._random())
        play, agent = (
            live(who, self.world, self.open_world, config.episodes, config.horizon, seed)
            .transitions.shortened(config.probes)
            for who, seed in ((anyhow, self.seed + PROBING), (best, self.seed + 2 * PROBING))
        )  # fmt: skip
        figures = [
            *return_figures(list(ranked.values()), curve),
            *probe_figures(self.world, play, agent),
            drift_figure(self.world, anyhow, self.first, play),
        ]
        return TrustCard(config.model, config.world, tuple(figures), dict(ranked), tuple(curve))

    def _random(self) -> RandomPolicy:
        world = self.open_world()
        world.close()
        return RandomPolicy(world.action_space, self.seed)


def _measured(
    trial: Trial, model: WorldGPT, real: World, given: Sequence[RankedPolicy]
) -> TrustCard:
    """Train the agents that are missing, and return the card."""
    config = trial.config
    curve = list(_curve(trial, model, real))
    anyhow = RankedPolicy("random", RandomPolicy(real.action_space, config.seed), "nowhere")
    followed = stored_policy(config.out / "policies" / FOLLOWED, FOLLOWED, DREAM, real, model)
    others = [anyhow, *(given or _trained(config, model, real))]
    ranked = {agent.name: trial.returns(agent) for agent in others} | {FOLLOWED: curve[-1]}
    return trial.card([*others, followed], ranked, curve)


def _curve(trial: Trial, model: WorldGPT, real: World) -> Iterator[PolicyReturns]:
    """Train one agent in the dream, and judge it on the way."""
    config, folder = trial.config, trial.config.out / "policies" / FOLLOWED
    for part in PARTS:
        steps = max(1, config.imagined_steps * part // 8)
        path = trial.path(FOLLOWED, steps)
        if path.is_file():
            yield trial.kept(path)
            continue
        dream(DreamConfig(folder, config.model, steps=steps, seed=config.seed))
        yield trial.returns(stored_policy(folder, FOLLOWED, DREAM, real, model), steps)


def _trained(config: TrustConfig, model: WorldGPT, real: World) -> list[RankedPolicy]:
    """Return agents of other seeds, algorithms and lengths, trained if they are not yet."""
    discrete = isinstance(real.action_space, spaces.Discrete)
    plans = [
        (DREAM, "ppo", 1, 1),
        (DREAM, "ppo", 2, 4),
        (DREAM, "ppo", 3, 16),
        (DREAM, "a2c", 4, 1),
    ]
    plans += [(DREAM, "a2c", 5, 4), (DREAM, "dqn" if discrete else "a2c", 6, 2)]
    plans += [
        (REAL, "ppo", seed, part) for seed, part in ((11, 1), (12, 2), (13, 4), (14, 1), (15, 8))
    ]
    agents = []
    for where, algo, seed, part in (bar := tqdm(plans, unit="agent", disable=None)):
        name = f"{algo}-{seed}" if where == DREAM else f"real-{algo}-{seed}"
        bar.set_description(name)
        folder = config.out / "policies" / name
        if where == DREAM:
            steps = max(1, config.imagined_steps // part)
            dream(DreamConfig(folder, config.model, algo, steps, seed=config.seed + seed))
        else:
            steps = max(1, config.real_steps // part)
            train_directly(
                DirectConfig(
                    folder, config.model, config.world, config.world_options,
                    steps, seed=config.seed + seed,
                )
            )  # fmt: skip
        agents.append(stored_policy(folder, name, where, real, model))
    return agents


def _given(config: TrustConfig, real: World, model: WorldGPT | str = "") -> list[RankedPolicy]:
    """Return the agents of the user's, each with a number and where it learned."""
    agents = []
    for number, folder in enumerate(config.policies, 1):
        extra = read_policy(folder).extra
        origin = DREAM if "dream" in extra else REAL if "direct" in extra else "given"
        name = f"{number}-{folder.resolve().name}"
        agents.append(stored_policy(folder, name, origin, real, model))
    return agents


def _trust_in_numbers(config: TrustConfig) -> TrustCard:
    """Return the card of a model of ``worldgpt dyna --env``."""
    if not config.policies or config.picture:
        raise ConfigurationError(
            f"{config.model} is a model of numbers, whose card ranks agents of your own and has no "
            "training curve: add --policies DIR ..., as runs/cartpole/round-5/policy, and leave "
            "--picture out."
        )
    model = VectorWorldModel.load(config.model)
    config = replace(config, world=config.world or model.world)

    def open_world() -> World:
        return make_world(config.world, **config.world_options)

    real = open_world()
    try:
        anyhow = RankedPolicy("random", RandomPolicy(real.action_space, config.seed), "nowhere")
        agents = [anyhow, *_given(config, real)]
    finally:
        real.close()
    return measure_trust(config, LearnedNumbers(model), open_world, agents)


def _claim(config: TrustConfig, beside: Mapping[str, Any]) -> None:
    """Write what everything in ``out`` shares, or compare it with what is there."""
    claim_run(config.out / SETTINGS, {**config.identity(), **beside})


def draw(card: TrustCard, path: Path) -> None:
    """Write a PNG of the returns of one agent along its training."""
    steps = np.array([part.steps for part in card.curve])
    lines = {
        side: [(steps, np.array([getattr(part, side).mean() for part in card.curve]))]
        for side in ("dream", "real")
    }
    draw_lines([Panel(card.model, lines)], "imagined steps", "return", path)
