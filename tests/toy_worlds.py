"""A world small enough to be solved in a second: press the button whose number is shown."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

BUTTONS = 3


class ButtonWorld(gym.Env):
    """Eight steps; +1 for the button that image, sound, word and number all name.

    ``obs_mode="latent"`` shows what latent observations look like: one flat Box per modality.
    """

    def __init__(self, obs_mode: str = "latent") -> None:
        self.action_space = spaces.Discrete(BUTTONS)
        latent = {key: spaces.Box(-1, 1, (BUTTONS,), np.float32) for key in ("image", "text")}
        decoded = {
            "image": spaces.Box(0, 255, (24, 40, 3), np.uint8),
            "audio": spaces.Box(-1, 1, (64, 2), np.float32),
            "text": spaces.Box(0, BUTTONS + 1, (4,), np.int64),
            "vector": spaces.Box(0, BUTTONS, (1,), np.float32),
        }
        self.obs_mode = obs_mode
        self.observation_space = spaces.Dict(latent if obs_mode == "latent" else decoded)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        self.time = 0
        return self._observe(), {}

    def step(self, action: int) -> tuple[dict, float, bool, bool, dict]:
        reward = float(int(action) == self.shown)
        self.time += 1
        return self._observe(), reward, self.time == 8, False, {}

    def _observe(self) -> dict[str, np.ndarray]:
        self.shown = int(self.np_random.integers(BUTTONS))
        one_hot = np.eye(BUTTONS, dtype=np.float32)[self.shown]
        if self.obs_mode == "latent":
            return {"image": one_hot, "text": 1 - one_hot}
        image = np.zeros((24, 40, 3), np.uint8)
        image[:, 12 * self.shown : 12 * self.shown + 12] = 255
        audio = np.zeros((64, 2), np.float32)
        audio[20 * self.shown : 20 * self.shown + 20, 0] = 0.5
        return {
            "image": image,
            "audio": audio,
            "text": np.array([self.shown + 2, 0, 0, 0]),
            "vector": np.array([self.shown], np.float32),
        }
