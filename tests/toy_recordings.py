"""Recordings whose cuts are known: a moving square, new backgrounds, other tones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldgpt_env.training.worldnet.format.media import write_audio, write_video

HEIGHT, WIDTH, RATE, SOUND_RATE = 48, 64, 10, 8000
KINDS = ("shot", "motion", "sound")


@dataclass
class Stream:
    """A recording and where it changes.

    Attributes:
        frames: ``(n, 48, 64, 3)`` uint8, ten a second.
        sound: ``(S, 1)`` float32 at 8000 Hz.
        cuts: ``(second, kind)``.
    """

    frames: np.ndarray
    sound: np.ndarray
    cuts: list[tuple[float, str]]

    def write(self, path: Path) -> None:
        """Write an mp4 and a wav beside it."""
        write_video(path, self.frames, RATE, 18)
        write_audio(path.with_suffix(".wav"), self.sound, SOUND_RATE)


def make_stream(
    seed: int, seconds: int = 30, kinds: tuple[str, ...] = KINDS, cuts: bool = True
) -> Stream:
    """Draw a recording that changes every 1.5 to 4 seconds in one of ``kinds``."""
    generator = np.random.default_rng(seed)
    moment, found = 0.0, list[tuple[float, str]]()
    while cuts and (moment := moment + generator.uniform(1.5, 4)) < seconds - 1.5:
        found.append((round(moment, 1), str(generator.choice(kinds))))
    frames = _film(generator, seconds, {round(at * RATE): kind for at, kind in found})
    ends = [at for at, kind in found if kind == "sound"]
    return Stream(frames, _sound(generator, seconds, ends), found)


def _film(generator: np.random.Generator, seconds: int, cuts: dict[int, str]) -> np.ndarray:
    """Return frames that change at ``cuts`` (number of a frame: kind)."""
    back, moving, place, frames = _background(generator), False, 0, []
    for number in range(seconds * RATE):
        if cuts.get(number) == "shot":
            back = _background(generator)
        if cuts.get(number) == "motion":
            moving = not moving
        place = (place + 3 * moving) % (WIDTH - 12)
        frame = back.copy()
        frame[14:26, place : place + 12] = 255 - frame[14:26, place : place + 12]
        frames.append(frame)
    return np.stack(frames)


def _background(generator: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    waves = 0.6 + 0.4 * np.sin(generator.uniform(0.05, 0.4) * columns + 0.1 * rows)
    return (generator.uniform(20, 230, 3) * waves[..., None]).astype(np.uint8)


def _sound(generator: np.random.Generator, seconds: int, ends: list[float]) -> np.ndarray:
    """Return tones with a little noise; another tone after each of ``ends``."""
    pieces, start, pitches = [], 0, generator.permutation(np.geomspace(150, 3000, 20))
    for end, pitch in zip([*ends, float(seconds)], pitches, strict=False):
        stop = round(end * SOUND_RATE)
        times = np.arange(start, stop) / SOUND_RATE
        pieces.append(0.3 * np.sin(2 * np.pi * pitch * times))
        start = stop
    sound = np.concatenate(pieces) + generator.normal(0, 0.001, seconds * SOUND_RATE)
    return sound[:, None].astype(np.float32)
