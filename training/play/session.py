"""PlaySession: an episode of the dream or of the real world, played by hand or by a policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.env import WorldGPTEnv
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.arguments import check_number
from worldgpt_env.model.bounds import COUNT, STEPS, check_fields
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.simulator import DEFAULT_WORLD
from worldgpt_env.worlds import World, make_world

from ..actors import Actor, StoredActor, Uniform

Observation = dict[str, np.ndarray]


@dataclass(frozen=True)
class PlayConfig:
    """What ``worldgpt play`` opens.

    Attributes:
        model: name of an embedded world, or folder of a model.
        policy: folder of the policy that TAB hands over to; random actions by default.
        horizon: imagined steps of an episode; the model's own by default.
        temperature: of the dream; the model's own by default.
        fps: pictures a second.
        scale: times the picture is enlarged.
        muted: play no sound.
        out: folder of the GIFs that F12 records.
        seed: of the first episode.
        frames: close the window after so many pictures; never by default.
    """

    model: str = DEFAULT_WORLD
    policy: Path | None = None
    horizon: int | None = None
    temperature: float | None = None
    fps: float = 8.0
    scale: float = 2.0
    muted: bool = False
    out: Path = Path("runs/play")
    seed: int = 0
    frames: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values; those of the dream are checked where it is opened."""
        check_fields(self, horizon=COUNT, frames=STEPS)
        check_number("fps", self.fps, 0.1, 240.0)
        check_number("scale", self.scale, 0.25, 16.0)


@dataclass(frozen=True)
class Status:
    """What one wants to know while playing.

    Attributes:
        step: steps of the episode.
        action: name of the last action, ``""`` before the first.
        reward: of the last step.
        total: rewards of the episode so far.
        uncertainty: of the last imagined step; None in the real world.
        consistency: likewise, in [0, 1].
        ended: why the episode is over, ``""`` while it goes on.
    """

    step: int = 0
    action: str = ""
    reward: float = 0.0
    total: float = 0.0
    uncertainty: float | None = None
    consistency: float | None = None
    ended: str = ""


class PlaySession:
    """One episode after another of a learned world, and of the real one that it was learned from.

    Attributes:
        dream: the learned world.
        real: the real world, opened when it is first asked for.
        dreams: whether the episode goes on in the dream.
        observation: the present state, raw, by modality.
        status: see :class:`Status`.
        horizon: imagined steps after which an episode is over.
    """

    def __init__(self, config: PlayConfig) -> None:
        """Open the dream and begin an episode.

        Raises:
            CheckpointError: there is no such model.
            ConfigurationError: the policy acts in another world.
        """
        self.config = config
        model = WorldGPT.from_pretrained(config.model)
        self.dream = WorldGPTEnv(model, horizon=config.horizon, temperature=config.temperature)
        self.specs, self.action_spec = model.specs, model.action_spec
        self.real: World | None = None
        self.dreams = True
        self.horizon = self.dream.simulator.horizon
        self.status: Status = Status()
        self._episodes = 0
        self._actor: Actor | None = None
        if config.policy is not None:
            self._actor = StoredActor(str(config.policy), self._real())
        self.reset()

    @property
    def world_name(self) -> str:
        """Name of the real world."""
        return self.dream.simulator.model.config.world

    def reset(self, description: str = "") -> None:
        """Begin a new episode.

        Args:
            description: of the recorded state that a dream begins with; any by default.

        Raises:
            ConfigurationError: the real world was asked for a state in words.
            MissingModalityError: the world has no words.
        """
        seed = self.config.seed + self._episodes
        if description and not self.dreams:
            raise ConfigurationError("the real world begins where it likes; dream of it instead.")
        if self.dreams:
            options = {"description": description} if description else None
            self.observation, _ = self.dream.reset(seed=seed, options=options)
        else:
            self.observation, _ = self._real().reset(seed=seed)
        self._begin(seed)

    def switch_world(self) -> None:
        """Go on in the other world: a dream goes on from the real state, reality begins anew.

        Raises:
            WorldError: the real world cannot start here.
        """
        if self.dreams:
            self._real()  # one that cannot start leaves the dream as it is
            self.dreams = False
            self.reset()
            return
        self.dreams = True
        seed = self.config.seed + self._episodes
        options = {"observation": self.observation}
        self.observation, _ = self.dream.reset(seed=seed, options=options)
        self._begin(seed)

    def change_horizon(self, by: int) -> None:
        """Let dreams last ``by`` steps more, or less; at least one."""
        self.horizon = max(1, self.horizon + by)
        self.dream.simulator.horizon = self.horizon

    def choose(self) -> Any:
        """Return the action of the policy in this state."""
        assert self._actor is not None
        return self._actor(self.observation)

    def step(self, action: Any) -> None:
        """Take one step; nothing happens after the end of an episode.

        Args:
            action: of the action space, or its name.

        Raises:
            InvalidActionError: it is none.
        """
        if self.status.ended:
            return
        env = self.dream if self.dreams else self._real()
        observation, reward, terminated, truncated, info = env.step(action)
        self.observation = observation
        cut = info.get("truncated_by") or "time limit"
        self.status = replace(
            self.status,
            step=self.status.step + 1,
            action=self.name_of(action),
            reward=reward,
            total=self.status.total + reward,
            uncertainty=info.get("uncertainty"),
            consistency=info.get("consistency"),
            ended="the world ended it" if terminated else cut if truncated else "",
        )

    def name_of(self, action: Any) -> str:
        """Return what an action is called."""
        if isinstance(action, str):
            return action
        if self.action_spec.kind == "discrete" and self.action_spec.names:
            return self.action_spec.names[int(action)]
        return np.array2string(np.asarray(action), precision=2)

    def close(self) -> None:
        """Close both worlds."""
        self.dream.close()
        if self.real is not None:
            self.real.close()

    def _begin(self, seed: int) -> None:
        """Count an episode, and let the policy forget the one before."""
        self._episodes += 1
        self.status = Status()
        if self._actor is None:
            self._actor = Uniform(self.dream.action_space)
        self._actor.begin(np.random.default_rng(seed), seed)

    def _real(self) -> World:
        if self.real is None:
            config = self.dream.simulator.model.config
            self.real = make_world(config.world, **config.world_options)
        return self.real
