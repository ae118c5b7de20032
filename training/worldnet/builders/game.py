"""Game: one source that is played window by window, an action held in each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from worldgpt_env.model.modalities import AudioSpec, Modality, VectorSpec, VideoSpec
from worldgpt_env.worlds import World

from .players import Player
from .sources import NUMBERS, SOURCES


@dataclass
class Window:
    """What a game showed while one action was held.

    Attributes:
        film: ``(frames, height, width, 3)`` uint8 of each step of the world.
        sound: ``(samples, channels)`` float32 of each step.
        image: ``(height, width, 3)`` uint8, what is seen at the end.
        text: the state at the end in words, the name of the game first.
        numbers: of the state at the end; () in a game without.
        reward: what the score gained.
        over: the game ended.
        terminated: it ended by itself, not by a time limit.
    """

    film: list[np.ndarray] = field(default_factory=list)
    sound: list[np.ndarray] = field(default_factory=list)
    image: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))
    text: str = ""
    numbers: tuple[float, ...] = ()
    reward: float = 0.0
    over: bool = False
    terminated: bool = False

    @property
    def frames(self) -> np.ndarray:
        """All frames, ``(n, height, width, 3)``."""
        return np.concatenate(self.film)

    @property
    def heard(self) -> np.ndarray:
        """The whole sound, ``(S, channels)``."""
        return np.concatenate(self.sound)


class Game:
    """A source of :data:`SOURCES` and its player.

    Attributes:
        name: of the source.
        world: the open world.
        sound_rate: samples per second.
        seconds: of a window.
        frames: of a window.
    """

    def __init__(self, name: str, size: tuple[int, int]) -> None:
        """Open the world with pictures of ``size`` (height, width)."""
        self.name, self._source = name, SOURCES[name]
        self.world: World = self._source.open(size)
        self._player = Player(self.world.action_spec.names, self._source.habits)
        sound, film = self.world.specs[Modality.AUDIO], self.world.specs[Modality.VIDEO]
        assert isinstance(sound, AudioSpec) and isinstance(film, VideoSpec)
        self.sound_rate = sound.rate
        self.seconds = self._source.steps * sound.samples / sound.rate
        self.frames = self._source.steps * film.frames

    def begin(self, generator: np.random.Generator, anew: bool = True) -> Window:
        """Start a game and return its first window: what the world shows at ``reset``.

        All randomness of the world and, if ``anew``, of the player comes from ``generator``.
        """
        if anew:
            self._player.begin(generator)
        window = Window()
        observation, info = self.world.reset(seed=int(generator.integers(2**31)))
        self._add(window, observation, info["text"])
        return window

    def play(self, text: str) -> tuple[Window, str]:
        """Hold one action, chosen by ``text``, for a window or until the game ends; return both."""
        window, action = Window(), self._player(text)
        for _ in range(self._source.steps):
            observation, reward, terminated, truncated, info = self.world.step(action)
            self._add(window, observation, info["text"])
            window.reward += reward
            window.over, window.terminated = terminated or truncated, terminated
            if window.over:
                break
        return window, self.world.action_spec.names[action]

    def close(self) -> None:
        """End the game."""
        self.world.close()

    def _add(self, window: Window, observation: dict[str, np.ndarray], text: str) -> None:
        """Add what one step of the world showed."""
        window.film.append(observation["video"])
        window.sound.append(observation["audio"])
        window.image = observation["image"]
        window.text = text if text.startswith(f"{self.name} ") else f"{self.name} {text}"
        spec = self.world.specs.get(Modality.VECTOR)
        if isinstance(spec, VectorSpec):
            told = dict(zip(spec.names, observation["vector"].tolist(), strict=True))
            known = {**self._source.always, **told}
            window.numbers = tuple(known[name] for name in NUMBERS)
