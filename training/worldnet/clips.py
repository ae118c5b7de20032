"""Clips: a game that is played, cut into windows of picture, film, sound, words and numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldgpt_env.model.modalities import AudioSpec, Modality, VectorSpec, VideoSpec
from worldgpt_env.worlds import World

from .decode import spread
from .players import Player
from .sound import resample, to_mono
from .sources import NUMBERS, Source
from .writer import Moment

FRAMES, SIZE = 4, (64, 64)
SAMPLES, RATE = 2048, 8192  # a quarter of a second


@dataclass
class Clip:
    """``T`` windows of a game after a first one.

    Attributes:
        moments: ``T + 1`` states.
        actions: ``T`` actions in words.
        rewards: what the score gained in each window.
        terminated: the game ended with the last window.
    """

    moments: list[Moment]
    actions: list[str]
    rewards: list[float]
    terminated: bool


@dataclass
class _Window:
    """What the world showed while one action was held."""

    film: list[np.ndarray] = field(default_factory=list)  # (frames, height, width, 3) each
    sound: list[np.ndarray] = field(default_factory=list)  # (samples, channels) each
    reward: float = 0.0
    over: bool = False
    terminated: bool = False
    last: dict[str, np.ndarray] = field(default_factory=dict)
    text: str = ""


class ClipRecorder:
    """Plays clips of one source."""

    def __init__(self, name: str, source: Source) -> None:
        """Open the world; it is closed by :meth:`close`."""
        self.name, self._source = name, source
        self.world: World = source.open(SIZE)
        self._player = Player(self.world.action_spec.names, source.habits)
        sound, film = self.world.specs[Modality.AUDIO], self.world.specs[Modality.VIDEO]
        assert isinstance(sound, AudioSpec) and isinstance(film, VideoSpec)
        self._rate, self._step = sound.rate, sound.samples / sound.rate
        self._frames = film.frames * source.steps

    def rates(self) -> dict[str, float]:
        """Return how long a window of the game is, and what is kept of it."""
        return {
            "window_seconds": round(self._step * self._source.steps, 6),
            "window_frames": self._frames,
            "kept_frames": FRAMES,
            "sound_rate": self._rate,
            "kept_seconds": SAMPLES / RATE,
        }

    def close(self) -> None:
        """End the game."""
        self.world.close()

    def record(self, seeds: np.random.SeedSequence, windows: int) -> Clip:
        """Play up to twice ``windows`` windows of a game, then record at most ``windows`` states.

        Clips so show not the first seconds of a game alone. All randomness comes from ``seeds``.
        The clip ends early where the game ends.
        """
        generator = np.random.default_rng(seeds)
        self._player.begin(generator)
        before = [self._begin(generator)]
        for _ in range(int(generator.integers(2 * windows + 1))):
            before = [before[-1], self._play(before[-1].text)[0]]
            if before[-1].over:
                before = [self._begin(generator)]
        lived, actions = [before[-1]], list[str]()
        while len(lived) < windows and not lived[-1].over:
            window, action = self._play(lived[-1].text)
            lived.append(window)
            actions.append(action)
        sounds = _hear(before[:-1], lived, self._rate)
        moments = [self._moment(w, sound) for w, sound in zip(lived, sounds, strict=True)]
        rewards = [window.reward for window in lived[1:]]
        return Clip(moments, actions, rewards, lived[-1].terminated)

    def _begin(self, generator: np.random.Generator) -> _Window:
        """Start a game; its first window is what the world shows at ``reset``."""
        window = _Window()
        observation, info = self.world.reset(seed=int(generator.integers(2**31)))
        _take(window, observation, info)
        return window

    def _play(self, text: str) -> tuple[_Window, str]:
        """Hold one action for a window, or until the game ends."""
        window, action = _Window(), self._player(text)
        for _ in range(self._source.steps):
            observation, reward, terminated, truncated, info = self.world.step(action)
            _take(window, observation, info)
            window.reward += reward
            window.over, window.terminated = terminated or truncated, terminated
            if window.over:
                break
        return window, self.world.action_spec.names[action]

    def _moment(self, window: _Window, sound: np.ndarray) -> Moment:
        """Return a window as a state; the image is its last frame."""
        film = np.concatenate(window.film)  # (n, height, width, 3)
        text = window.text if window.text.startswith(self.name) else f"{self.name} {window.text}"
        return Moment(
            window.last["image"],
            film[spread(len(film), FRAMES)],
            sound,
            text,
            self._numbers(window.last.get("vector")),
        )

    def _numbers(self, told: np.ndarray | None) -> tuple[float, ...]:
        """Return :data:`NUMBERS`, or nothing in a game without numbers."""
        if told is None:
            return ()
        spec = self.world.specs[Modality.VECTOR]
        assert isinstance(spec, VectorSpec)
        known = {**self._source.always, **dict(zip(spec.names, told.tolist(), strict=True))}
        return tuple(known[name] for name in NUMBERS)


def _take(window: _Window, observation: dict[str, np.ndarray], info: dict[str, Any]) -> None:
    """Add what the world showed to the window."""
    window.film.append(observation["video"])
    window.sound.append(observation["audio"])
    window.last, window.text = observation, info["text"]


def _hear(before: list[_Window], lived: list[_Window], rate: int) -> list[np.ndarray]:
    """Return the last quarter of a second at the end of each window lived, ``(2048, 1)`` each.

    All of the sound is resampled in one piece, so that no window has edges. Before the game was
    switched on it was silent.
    """
    pieces = [np.concatenate(window.sound) for window in (*before, *lived)]
    ends = np.cumsum([len(piece) for piece in pieces])[len(before) :]
    sound = resample(to_mono(np.concatenate(pieces)), rate, RATE)  # (S, 1)
    sound = np.pad(sound, ((SAMPLES, 0), (0, 0)))
    lasts = [round(end * RATE / rate) for end in ends.tolist()]
    return [sound[last : last + SAMPLES] for last in lasts]
