"""Worlds small enough to be solved in seconds: buttons for SB3 alone, a corridor for the spine."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldgpt_env.model.modalities import (
    ActionSpec,
    Modality,
    ModalitySpec,
    TextSpec,
    VectorSpec,
    VideoSpec,
)
from worldgpt_env.worlds import World

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


class CorridorWorld(World):
    """Seven places in a row; a word names the end with the prize, the other end costs one.

    It has words and a number only, whose codecs need no training, so that recording, learning,
    dreaming and judging take seconds.
    """

    world_name = "corridor"
    options = ()

    def __init__(self) -> None:
        self._declare(self._specs(), ("left", "right"), None)

    def _specs(self) -> dict[Modality, ModalitySpec]:
        return {
            Modality.TEXT: TextSpec.of(["prize", "left", "right"], 2),
            Modality.VECTOR: VectorSpec(("place",), (0.0,), (6.0,)),
        }

    def _reset(self) -> tuple[dict[str, np.ndarray], str]:
        self.prize = int(self.np_random.integers(2))
        self.place, self.time = int(self.np_random.integers(2, 5)), 0
        self.before = self.place
        return self._observe()

    def _step(self, action: int) -> tuple[dict[str, np.ndarray], float, bool, bool, str]:
        self.before = self.place
        self.place += 2 * action - 1
        self.time += 1
        ended = self.place in (0, 6)
        reward = (1.0 if (self.place == 6) == bool(self.prize) else -1.0) if ended else 0.0
        observation, text = self._observe()
        return observation, reward, ended, not ended and self.time == 20, text

    def _observe(self) -> tuple[dict[str, np.ndarray], str]:
        text = f"prize {('left', 'right')[self.prize]}"
        spec = self.specs[Modality.TEXT]
        assert isinstance(spec, TextSpec)
        return {"text": spec.encode(text), "vector": np.array([self.place], np.float32)}, text


class FilmedCorridorWorld(CorridorWorld):
    """The corridor in a video and nothing else: a white walker between two ends, a green prize.

    The frames show the way from the last place to this one.
    """

    world_name = "corridor-video"

    def _specs(self) -> dict[Modality, ModalitySpec]:
        return {Modality.VIDEO: VideoSpec(3, 16, 112)}

    def _observe(self) -> tuple[dict[str, np.ndarray], str]:
        video = np.full((3, 16, 112, 3), 40, np.uint8)
        video[:, :, 96 * self.prize : 96 * self.prize + 16] = (30, 160, 40)
        for frame, share in zip(video, (1 / 3, 2 / 3, 1), strict=True):
            left = round(16 * (self.before + share * (self.place - self.before)))
            frame[4:12, left + 4 : left + 12] = 255
        return {"video": video}, ""


class SayingWorld(World):
    """Eight steps of a world that is told what to do; +1 for the sentence that it asks for.

    The words of an action may come in any order, and only the words ``left``, ``right`` and
    ``fire`` do anything.
    """

    world_name = "saying"
    options = ()
    asked = ("left", "right", "fire")

    def __init__(self) -> None:
        specs = {Modality.TEXT: TextSpec.of(["please", *self.asked], 2)}
        words = ["move", "now", *self.asked]
        self._declare(specs, ActionSpec.text(words, 3), None)

    def _reset(self) -> tuple[dict[str, np.ndarray], str]:
        self.time = 0
        return self._observe()

    def _step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, str]:
        said = set(self.action_spec.vocabulary.decode(action).split()) & set(self.asked)
        reward = float(said == {self.asked[self.wanted]})
        self.time += 1
        observation, text = self._observe()
        return observation, reward, False, self.time == 8, text

    def _observe(self) -> tuple[dict[str, np.ndarray], str]:
        self.wanted = int(self.np_random.integers(len(self.asked)))
        text = f"please {self.asked[self.wanted]}"
        spec = self.specs[Modality.TEXT]
        assert isinstance(spec, TextSpec)
        return {"text": spec.encode(text)}, text
