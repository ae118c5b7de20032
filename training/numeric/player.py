"""RealPlayer: lives real steps, one episode across rounds, and finds back into it after a stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from tqdm import tqdm

from worldgpt_env.model.modalities import ActionSpec
from worldgpt_env.worlds import World, WorldError

from .experience import RealSteps, StepRecorder

MOST_CRASHES = 5
"""Crashes in a row after which an environment is given up."""


class Chooser(Protocol):
    """Chooses real actions."""

    def begin(self) -> None:
        """An episode begins."""

    def __call__(self, state: np.ndarray) -> Any:
        """Return the action at ``state`` ``(D,)``."""


class CoherentRandom:
    """Random actions that are held for a while, each episode at a pace of its own.

    Actions drawn anew at every step cancel out and stay where they began; held ones swing and
    climb. How long they are held on average is drawn log-uniformly, from one step to an eighth of
    the time limit (compare coloured noise, Eberhard et al. 2023).
    """

    def __init__(self, spec: ActionSpec, limit: int, generator: np.random.Generator) -> None:
        """Choose among the actions of ``spec`` in episodes of ``limit`` steps."""
        self._spec, self._generator = spec, generator
        self._longest = max(1.0, limit / 8)
        self.begin()

    def begin(self) -> None:
        """Draw a new pace."""
        self._pace = float(np.exp(self._generator.uniform(0, np.log(self._longest))))
        self._left, self._action = 0, self._draw()

    def __call__(self, state: np.ndarray) -> Any:
        """See :class:`Chooser`."""
        if self._left <= 0:
            self._action = self._draw()
            self._left = int(self._generator.geometric(1 / self._pace))
        self._left -= 1
        return self._action

    def _draw(self) -> Any:
        spec = self._spec
        if spec.kind == "discrete":
            return self._generator.integers(spec.sizes[0])
        if spec.kind == "box":
            low, high = np.array(spec.low, np.float32), np.array(spec.high, np.float32)
            return self._generator.uniform(low, high).astype(np.float32).clip(low, high)
        return self._generator.integers(np.array(spec.sizes))


class PolicyChooser:
    """Actions drawn from the policy of an agent."""

    def __init__(self, algorithm: BaseAlgorithm) -> None:
        """Let ``algorithm`` choose; it draws with torch's global generator."""
        self._algorithm = algorithm

    def begin(self) -> None:
        """Nothing is remembered."""

    def __call__(self, state: np.ndarray) -> Any:
        """See :class:`Chooser`."""
        actions, _ = self._algorithm.predict({"vector": state[None]}, deterministic=False)
        return actions[0]


class RealPlayer:
    """Lives in one world; every step that it takes counts as a real one.

    Attributes:
        crashes: how often the environment failed; the episode in flight ended there.
    """

    def __init__(self, open_world: Callable[[], World], seed: int) -> None:
        """Open the world.

        Args:
            open_world: opens it, also anew after a crash.
            seed: episode ``i`` is reset with a hash of ``seed`` and ``i``.
        """
        self._open, self._seed = open_world, seed
        self.world = open_world()
        self.crashes = 0
        self._episodes = 0
        self._state: np.ndarray | None = None
        self._episode_seed = 0

    def close(self) -> None:
        """Close the world."""
        self.world.close()

    def find_back(self, past: RealSteps) -> bool:
        """Return to where ``past`` ended, by doing the actions of its last episode again.

        Returns:
            Whether the world came to the same state; if not, a new episode begins.
        """
        self._episodes, self._state = int(past.first.sum()), None
        unfinished = past.unfinished()
        if unfinished is None:
            return True
        seed, actions = unfinished
        try:
            observation, _ = self.world.reset(seed=seed)
            for action in actions:
                observation, _, terminated, truncated, _ = self.world.step(action)
                if terminated or truncated:
                    return False
        except WorldError:
            self._restart(StepRecorder())
            return False
        if not np.array_equal(observation["vector"], past.next_states[-1]):
            return False
        self._state, self._episode_seed = observation["vector"], seed
        return True

    def play(self, count: int, choose: Chooser, recorder: StepRecorder, bar: tqdm) -> None:
        """Live ``count`` steps with the actions of ``choose``."""
        failures = 0
        for _ in range(count):
            while True:
                try:
                    self._step(choose, recorder)
                    break
                except WorldError as error:
                    failures += 1
                    if failures >= MOST_CRASHES:
                        raise WorldError(
                            f"{error} It failed {failures} times; what was lived is kept up to "
                            "the last round."
                        ) from error
                    self._restart(recorder)
            bar.update()

    def _step(self, choose: Chooser, recorder: StepRecorder) -> None:
        first = self._state is None
        if first:
            self._begin()
            choose.begin()
        state = self._state
        assert state is not None
        action = choose(state)
        observation, reward, terminated, truncated, _ = self.world.step(action)
        following, ended = observation["vector"], terminated or truncated
        recorder.add(
            *(state, action, reward, following, terminated, ended, first, self._episode_seed)
        )
        self._state = None if ended else following

    def _begin(self) -> None:
        source = np.random.SeedSequence([self._seed, self._episodes])
        self._episode_seed = int(source.generate_state(1)[0])
        self._episodes += 1
        observation, _ = self.world.reset(seed=self._episode_seed)
        self._state = observation["vector"]

    def _restart(self, recorder: StepRecorder) -> None:
        """Open the world anew after a crash."""
        self.crashes += 1
        recorder.cut()
        self.world.close()
        self.world, self._state = self._open(), None
