"""Filming: games are played and recorded as long recordings with sound, for the Wild pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from av.video.reformatter import VideoReformatter
from tqdm import tqdm

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import VectorSpec

from ...results_io import write_json
from ..format.annotation import WorldNetError
from .captions import RecordingWords
from .cutting import CutConfig
from .events import StateConfig
from .filters import FilterConfig
from .game import Game, Window
from .process_pool import Report, run_apart
from .sources import HIGHEST, LOWEST, NUMBERS, choose
from .splits import SplitShares
from .wild import WildConfig, build_wild

SIZES = {"atari": (208, 160), "doom": (120, 160)}  # height and width, nearly those of the screen
WORDS = FilterConfig(min_seconds=0.5, max_seconds=10, min_words=1, max_words=24)


@dataclass(frozen=True)
class FilmConfig:
    """What to film.

    Attributes:
        out: the WorldNet folder to be; the recordings go into ``<out>-recordings`` and are kept.
        recordings: of each game.
        seconds: of each recording.
        seed: the same seed films the same recordings.
        games: which ones; () for all.
        workers: games that are filmed side by side, each in a process of its own.
    """

    out: str
    recordings: int = 10
    seconds: float = 15.0
    seed: int = 0
    games: tuple[str, ...] = ()
    workers: int = 2

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if self.recordings < 3 or self.seconds < 2:
            raise ConfigurationError(
                f"{self.recordings} recordings of {self.seconds} s cannot be split and cut; film "
                "three or more of two seconds or more."
            )
        if self.seed < 0 or self.workers < 1:
            raise ConfigurationError(
                f"seed is {self.seed} and workers {self.workers}; give whole numbers from 0 and 1."
            )
        choose(self.games)

    @property
    def folder(self) -> Path:
        """Where the recordings go."""
        return Path(f"{self.out}-recordings")


@dataclass(frozen=True)
class _Reel:
    """The recordings of one game, as they are sent to its process."""

    game: str
    recordings: int
    seconds: float
    seed: int
    folder: str


def build_filmed(config: FilmConfig) -> dict[str, Any]:
    """Film games, then cut the recordings by the Wild pipeline; states are those of the arcade.

    Recordings that are there already are kept, so the same call goes on where it stopped.

    Returns:
        What :func:`~.wild.build_wild` returns; ``seconds`` and ``cpu_seconds`` are those of the
        cutting alone.

    Raises:
        WorldNetError: ``config.out`` is there already, or a game could not be filmed.
    """
    if Path(config.out).exists():
        raise WorldNetError(f"{config.out} is there already; choose another folder.")
    reels = {
        name: _Reel(name, config.recordings, config.seconds, config.seed, str(config.folder / name))
        for name in choose(config.games)
    }
    total = config.recordings * len(reels)
    with tqdm(desc="film", total=total, unit="recording", disable=None) as bar:
        _, failures = run_apart(film, reels, config.workers, bar.update)
    if failures:
        told = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise WorldNetError(f"{len(failures)} games could not be filmed ({told}).")
    wild = WildConfig(
        str(config.folder),
        config.out,
        cut=CutConfig(),
        filters=WORDS,
        state=StateConfig(0.25, 4, 64, (64, 64), 8192, quality=4),
        shares=SplitShares(),
        seed=config.seed,
    )
    return build_wild(wild)


def film(reel: _Reel, report: Report) -> None:
    """Film the recordings of one game that are not there yet."""
    folder = Path(reel.folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = [folder / f"{number:03d}.mp4" for number in range(reel.recordings)]
    if all(path.with_suffix(".words.json").exists() for path in names):
        report(len(names))
        return
    kind = "doom" if reel.game.startswith("doom-") else "atari"
    game = Game(reel.game, SIZES[kind])
    try:
        for number, path in enumerate(names):
            words = path.with_suffix(".words.json")
            if not words.exists():
                seeds = np.random.SeedSequence([reel.seed, number, *reel.game.encode()])
                told = _shoot(game, seeds, reel.seconds, path)
                write_json(words, told.to_json())  # last: the recording is whole
            report(1)
    finally:
        game.close()


def _shoot(game: Game, seeds: np.random.SeedSequence, seconds: float, path: Path) -> RecordingWords:
    """Play for ``seconds`` into ``path`` (mp4) and a wav beside it; return what is to be told.

    A game that ends begins again at once, which is a new shot.
    """
    assert game.world.frame_rate is not None  # all sources run in real time
    generator = np.random.default_rng(seeds)
    states = list[tuple[float, str, tuple[float, ...]]]()
    actions, rewards = list[tuple[float, float, str]](), list[tuple[float, float]]()
    with _Reels(path, Fraction(game.world.frame_rate), game.sound_rate) as reels:
        window, action = game.begin(generator), ""
        while True:
            begun, now = reels.seconds, reels.add(window)
            states.append((now if action else begun, window.text, window.numbers))
            if action:
                actions.append((begun, now, action))
            if window.reward:
                rewards.append((now, window.reward))
            if now >= seconds:
                numbers = VectorSpec(NUMBERS, LOWEST, HIGHEST) if window.numbers else None
                return RecordingWords(game.name, states, actions, rewards, numbers)
            if window.over:
                window, action = game.begin(generator, anew=False), ""
            else:
                window, action = game.play(window.text)


class _Reels:
    """An mp4 and a wav that grow window by window.

    Attributes:
        seconds: how long they are.
    """

    def __init__(self, path: Path, rate: Fraction, sound_rate: int) -> None:
        self._path, self._rate, self._sound_rate = path, rate, sound_rate
        self._frames, self._colours = 0, VideoReformatter()
        self._sound: list[np.ndarray] = []

    def __enter__(self) -> _Reels:
        self._container = av.open(str(self._path), "w", format="mp4")
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            self._container.mux(self._stream.encode())
            soundfile.write(
                self._path.with_suffix(".wav"),
                np.concatenate(self._sound),
                self._sound_rate,
                subtype="PCM_16",
            )
        self._container.close()

    @property
    def seconds(self) -> float:
        return float(self._frames / self._rate)

    @cached_property
    def _stream(self) -> av.VideoStream:
        stream = self._container.add_stream("libx264", rate=self._rate)
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "12", "preset": "veryfast", "x264-params": "mbtree=0"}
        stream.codec_context.thread_count = 1
        return stream

    def add(self, window: Window) -> float:
        """Add what a window showed; return how many seconds there are now."""
        frames = window.frames  # (n, height, width, 3)
        if not self._frames:
            self._stream.height, self._stream.width = frames.shape[1:3]
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture = self._colours.reformat(picture, format="yuv420p", threads=1)
            self._container.mux(self._stream.encode(picture))
        self._sound.append(window.heard)
        self._frames += len(frames)
        return self.seconds
