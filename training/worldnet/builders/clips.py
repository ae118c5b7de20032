"""Clips: a game that is played, cut into windows of picture, film, sound, words and numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..format.decode import spread
from ..format.sound import resample, to_mono
from ..format.writer import Moment
from .game import Game, Window

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


def record_clip(game: Game, seeds: np.random.SeedSequence, windows: int) -> Clip:
    """Play up to twice ``windows`` windows of a game, then record at most ``windows`` states.

    Clips so show not the first seconds of a game alone. All randomness comes from ``seeds``. The
    clip ends early where the game ends.
    """
    generator = np.random.default_rng(seeds)
    before = [game.begin(generator)]
    for _ in range(int(generator.integers(2 * windows + 1))):
        before = [before[-1], game.play(before[-1].text)[0]]
        if before[-1].over:
            before = [game.begin(generator, anew=False)]
    lived, actions = [before[-1]], list[str]()
    while len(lived) < windows and not lived[-1].over:
        window, action = game.play(lived[-1].text)
        lived.append(window)
        actions.append(action)
    sounds = _hear(before[:-1], lived, game.sound_rate)
    moments = [_moment(window, sound) for window, sound in zip(lived, sounds, strict=True)]
    return Clip(moments, actions, [window.reward for window in lived[1:]], lived[-1].terminated)


def _moment(window: Window, sound: np.ndarray) -> Moment:
    """Return a window as a state; the image is its last frame."""
    frames = window.frames
    film = frames[spread(len(frames), FRAMES)]  # (4, 64, 64, 3)
    return Moment(window.image, film, sound, window.text, window.numbers)


def _hear(before: list[Window], lived: list[Window], rate: int) -> list[np.ndarray]:
    """Return the last quarter of a second at the end of each window lived, ``(2048, 1)`` each.

    All of the sound is resampled in one piece, so that no window has edges. Before the game was
    switched on it was silent.
    """
    pieces = [window.heard for window in (*before, *lived)]
    ends = np.cumsum([len(piece) for piece in pieces])[len(before) :]
    sound = resample(to_mono(np.concatenate(pieces)), rate, RATE)  # (S, 1)
    sound = np.pad(sound, ((SAMPLES, 0), (0, 0)))
    lasts = [round(end * RATE / rate) for end in ends.tolist()]
    return [sound[last : last + SAMPLES] for last in lasts]
