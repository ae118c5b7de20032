"""Run: one round after another of living, fitting, dreaming and judging in a world of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from worldgpt_env.model.modalities import UNBOUNDED, Modality, VectorSpec
from worldgpt_env.model.vector_dynamics import (
    ActionEncoder,
    FitConfig,
    VectorDynamics,
    VectorDynamicsConfig,
    VectorTransitions,
    fit,
)
from worldgpt_env.model.vector_dynamics.world_model import VectorWorldModel
from worldgpt_env.policies.dream import Dream
from worldgpt_env.policies.dynamics_vec_env import DynamicsVecEnv
from worldgpt_env.policies.store import save_policy
from worldgpt_env.worlds import GymWorld, World, make_world

from .agent_state import acting_as, load_agent, save_agent
from .agents import LAST_ROUND, PARTS, DreamAgent, PpoRecipe, discount_for, recipe_for
from .candidates import Candidate, PolicyCandidates
from .config import NumericDynaConfig
from .experience import RealSteps, StepRecorder
from .judge import judge_policy
from .player import Chooser, CoherentRandom, PolicyChooser, RealPlayer

LONG = 1_000
"""The time limit that is assumed of a world without one."""
CURIOUS_SHARE = 0.6
"""Of the real steps of a round in which both agents live."""
SNAPSHOTS = (2, 5, 7)
"""Parts of the last round's training after which a snapshot is taken, beside its end."""


class Run:
    """The state of a Dyna run between two rounds."""

    def __init__(self, config: NumericDynaConfig, lengths: list[int], bar: tqdm) -> None:
        """Open the world and build dynamics and agents; :meth:`restore` fills them."""
        self.config, self.lengths, self._bar = config, lengths, bar
        self._seed_everything(0)
        self.player = RealPlayer(self._open, config.seed)
        world = self.player.world
        assert isinstance(world, GymWorld)
        self.limit = world.time_limit or LONG
        self.encoder = ActionEncoder(world.action_spec)
        spec = world.specs[Modality.VECTOR]
        assert isinstance(spec, VectorSpec)
        self.dynamics = VectorDynamics(
            len(spec.names),
            self.encoder.width,
            VectorDynamicsConfig(backbone=config.backbone),
            _bounds(spec),
        )
        self.recipe = recipe_for(world.action_space, dict(config.agent))
        self.agent = self._agent(world, curious=False)
        self.explorer = self._agent(world, curious=True)
        self.candidates = PolicyCandidates()
        self.parts: list[RealSteps] = []
        self._best: Candidate | None = None

    def close(self) -> None:
        """Close the world."""
        self.player.close()

    def live(self, number: int) -> dict[str, Any]:
        """Live, fit, dream and judge round ``number``; return its figures."""
        self._seed_everything(number)
        self.parts.append(self._play(number))
        steps = RealSteps.joined(self.parts)
        data = steps.transitions(self.encoder)
        self._bar.set_postfix_str("fit")
        updates = self.config.updates if number else self.config.first_updates
        generator = torch.Generator().manual_seed(self._seed_of(number, 1))
        fitted = fit(self.dynamics, data, generator, FitConfig(updates=updates))
        self._bar.set_postfix_str("dream")
        trained, best = self._dream(number, data)
        self._bar.set_postfix_str("judge")
        judgement = self._judge(best)
        self._bar.set_postfix_str(f"return {judgement['return']:.1f}")
        returns = self.parts[-1].episode_returns()
        return {
            "real_steps": len(steps),
            "recording": {
                "steps": len(self.parts[-1]),
                "episodes": len(returns),
                "mean_return": float(np.mean(returns)) if returns else None,
                "ends": int(steps.terminated.sum()),
                "crashes": self.player.crashes,
            },
            "dynamics": fitted.to_json(),
            "agent": trained,
            "dream": {"return": best.dreamt, "chosen": best.born},
            "judgement": judgement,
        }

    # a round ------------------------------------------------------------------------------------

    def explores(self, number: int) -> bool:
        """Whether the curious agent is trained in round ``number``, and lives in the next one.

        It is not where the reward of the first round depends on the state: such a reward says
        where to go, and what the curious agent meets lies elsewhere.
        """
        data = self.parts[0].transitions(self.encoder)
        return number < self.config.explore * len(self.lengths) and not data.has_dense_reward()

    def _play(self, number: int) -> RealSteps:
        """Live the real steps of a round."""
        recorder, count = StepRecorder(), self.lengths[number]
        if number == 0:
            generator = np.random.default_rng([self.config.seed, 7])
            chooser: Chooser = CoherentRandom(self.encoder.spec, self.limit, generator)
            self.player.play(count, chooser, recorder, self._bar)
            return recorder.steps()
        curious = int(CURIOUS_SHARE * count) if self.explores(number - 1) else 0
        task, seeker = (PolicyChooser(a.algorithm) for a in (self.agent, self.explorer))
        self.player.play(count - curious, task, recorder, self._bar)
        self.player.play(curious, seeker, recorder, self._bar)
        return recorder.steps()

    def _dream(self, number: int, data: VectorTransitions) -> tuple[dict[str, Any], Candidate]:
        """Train the agents in dreams of the newest dynamics and choose the best snapshot."""
        last = number == len(self.lengths) - 1
        dream = self._dream_of(data, curious=False)

        def after_part(part: int) -> None:
            if last and part in SNAPSHOTS:
                self.candidates.add(self.agent.algorithm, f"{number}.{part}")

        steps, seed = self.lengths[number], self._seed_of(number, 2)
        trained = self.agent.learn(
            dream, data, steps, LAST_ROUND if last else 1.0, seed, after_part
        )
        self.candidates.add(self.agent.algorithm, f"{number}.{PARTS - 1}")
        if self.explores(number) and not last:
            seed = self._seed_of(number, 3)
            scale = 0.5 if isinstance(self.recipe, PpoRecipe) else 1.0
            self.explorer.learn(self._dream_of(data, curious=True), data, steps, scale, seed)
        best = self.candidates.choose(
            self.agent.algorithm, self.agent.env, dream, self.limit, self._seed_of(number, 4)
        )
        self._best = best
        return trained, best

    def _dream_of(self, data: VectorTransitions, curious: bool) -> Dream:
        agent = self.explorer if curious else self.agent
        scale = self.recipe.reward_scale(data, discount_for(self.limit))
        return Dream.of(self.dynamics, data, agent.discount, scale, curious)

    def _judge(self, best: Candidate) -> dict[str, Any]:
        with acting_as(self.agent.algorithm, best.policy):
            return judge_policy(self.agent.algorithm, self._open, self.config.episodes)

    # between rounds -----------------------------------------------------------------------------

    def write(self, draft: Path, number: int) -> None:
        """Write what round ``number`` lived and learned into the folder ``draft``."""
        self.parts[-1].save(draft / "steps.safetensors")
        self._world_model().save(draft / "model")
        save_agent(self.agent.algorithm, draft / "agent.safetensors")
        save_agent(self.explorer.algorithm, draft / "explorer.safetensors")
        self.candidates.save(draft)
        assert self._best is not None
        extra = {"world": self.config.world, "real_steps": sum(map(len, self.parts))}
        with acting_as(self.agent.algorithm, self._best.policy):
            save_policy(self.agent.algorithm, draft / "policy", obs_mode="decoded", extra=extra)

    def _world_model(self) -> VectorWorldModel:
        """Return what was learned as ``gym.make("WorldGPT-v0", model=...)`` opens it."""
        world = self.player.world
        spec = world.specs[Modality.VECTOR]
        assert isinstance(spec, VectorSpec)
        return VectorWorldModel.of(
            self.dynamics,
            RealSteps.joined(self.parts).transitions(self.encoder),
            self.config.world,
            spec,
            world.action_spec,
            self.limit,
        )

    def restore(self, folders: list[Path], crashes: int) -> None:
        """Go on after the rounds in ``folders``; the world had failed ``crashes`` times in them."""
        self.player.crashes = crashes
        newest = folders[-1]
        self.parts = [RealSteps.load(folder / "steps.safetensors") for folder in folders]
        self.dynamics = VectorWorldModel.load(newest / "model").dynamics
        load_agent(self.agent.algorithm, newest / "agent.safetensors")
        load_agent(self.explorer.algorithm, newest / "explorer.safetensors")
        self.candidates = PolicyCandidates.load(newest, self.agent.algorithm)
        if not self.player.find_back(RealSteps.joined(self.parts)):
            tqdm.write(
                f"{self.config.world} did not come to the same state again; the episode that the "
                "stop interrupted ends there."
            )

    def _open(self) -> World:
        return make_world(self.config.world)

    def _agent(self, world: GymWorld, curious: bool) -> DreamAgent:
        recipe = self.recipe
        rows, horizon = 1, self.limit  # SAC imagines its branches itself
        if isinstance(recipe, PpoRecipe):
            rows, horizon = recipe.num_envs, min(recipe.horizon, self.limit)
        env = DynamicsVecEnv(
            world.observation_space, world.action_space, self.encoder, rows, horizon
        )
        discount = discount_for(self.limit)
        if not curious:
            discount = min(discount, recipe.most_discount)
        return DreamAgent(env, recipe, discount, self._seed_of(0, 5 + curious), curious)

    def _seed_of(self, number: int, purpose: int) -> int:
        """Return a seed of its own for what happens in round ``number``."""
        source = np.random.SeedSequence([self.config.seed, number, purpose])
        return int(source.generate_state(1)[0] >> 1)

    def _seed_everything(self, number: int) -> None:
        """Seed the global generators, which Stable-Baselines3 draws from: a round alone decides."""
        seed = self._seed_of(number, 0)
        torch.manual_seed(seed)
        np.random.seed(seed)


def _bounds(spec: VectorSpec) -> tuple[Tensor, Tensor]:
    """Return the lowest and highest of each number, ``(D,)`` each."""
    low, high = torch.tensor(spec.low), torch.tensor(spec.high)
    return low.clamp(min=-UNBOUNDED), high.clamp(max=UNBOUNDED)
