"""One game of WorldNet-Arcade, recorded in a process of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.modalities import (
    ActionSpec,
    AudioSpec,
    ImageSpec,
    Modality,
    ModalitySpec,
    TextSpec,
    VectorSpec,
    VideoSpec,
)

from ..format.annotation import WorldNetError
from ..format.description import WorldNetDescription
from ..format.folder import WorldNetFolder
from ..format.writer import WorldNetWriter
from .clips import FRAMES, RATE, SAMPLES, SIZE, Clip, record_clip
from .game import Game
from .process_pool import Report
from .sources import HIGHEST, LOWEST, NUMBERS
from .splits import split_blocks

TEXT_SLOTS, ACTION_SLOTS = 12, 5
HEARD = 0.01  # the loudest sample of a window that is not silent
LONGEST = 50  # windows of a clip


@dataclass(frozen=True)
class GamePart:
    """One game to record, as it is sent to its process.

    Attributes:
        game: one of ``SOURCES``.
        windows: how many.
        seed: the same seed records the same windows.
        folder: the WorldNet of this game alone, to be.
    """

    game: str
    windows: int
    seed: int
    folder: str

    def settings(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON values."""
        return {"game": self.game, "windows": self.windows, "seed": self.seed}

    def opened(self) -> WorldNetFolder | None:
        """Return the folder if it is whole and was recorded with these settings, else None."""
        if not Path(self.folder).is_dir():
            return None
        try:
            folder = WorldNetFolder.open(self.folder)
        except WorldNetError:
            return None
        built = folder.description.built if folder.description else {}
        same = all(built.get(name) == value for name, value in self.settings().items())
        return folder if same else None


def record_part(part: GamePart, report: Report) -> None:
    """Play one game in clips and write its windows; ``report`` hears how many were recorded."""
    longest = min(LONGEST, part.windows // 10)  # ten clips or more, so that every split has one
    splits = split_blocks(part.game, seed=part.seed)
    tally, number = _Tally(), 0
    game = Game(part.game, SIZE)
    try:
        built = {**part.settings(), **_rates(game)}
        description = _describe(game, built)
        with WorldNetWriter(part.folder, description, overwrite=True) as writer:
            while tally.windows < part.windows:
                seeds = np.random.SeedSequence([part.seed, number, *part.game.encode()])
                clip = record_clip(game, seeds, max(min(longest, part.windows - tally.windows), 2))
                writer.add_sequence(
                    next(splits),
                    clip.moments,
                    [f"{part.game} {action}" for action in clip.actions],
                    scenario=part.game,
                    episode=f"{part.game}-{number:04d}",
                    rewards=clip.rewards,
                    terminated=clip.terminated,
                )
                tally.add(clip)
                number += 1
                report(len(clip.moments))
            built["figures"] = tally.figures()
    finally:
        game.close()


def _rates(game: Game) -> dict[str, float]:
    """Return how long a window of the game is, and what is kept of it."""
    return {
        "window_seconds": round(game.seconds, 6),
        "window_frames": game.frames,
        "kept_frames": FRAMES,
        "sound_rate": game.sound_rate,
        "kept_seconds": SAMPLES / RATE,
    }


def _describe(game: Game, built: dict[str, Any]) -> WorldNetDescription:
    """Return the description of one game; ``built`` is read when the folder is finished."""
    world = game.world
    text = world.specs[Modality.TEXT]
    assert isinstance(text, TextSpec)
    specs: dict[Modality, ModalitySpec] = {
        Modality.IMAGE: ImageSpec(*SIZE),
        Modality.VIDEO: VideoSpec(FRAMES, *SIZE),
        Modality.AUDIO: AudioSpec(SAMPLES, 1, RATE),
        Modality.TEXT: TextSpec.of([*text.vocabulary, game.name], TEXT_SLOTS),
    }
    if Modality.VECTOR in world.specs:
        specs[Modality.VECTOR] = VectorSpec(NUMBERS, LOWEST, HIGHEST)
    words = [word for name in world.action_spec.names for word in name.split()]
    action = ActionSpec.text([game.name, *words], ACTION_SLOTS)
    return WorldNetDescription("worldnet-arcade", specs, action, (game.name,), built)


@dataclass
class _Tally:
    """Counts what was recorded."""

    windows: int = 0
    episodes: int = 0
    terminated: int = 0
    heard: int = 0
    rewards: Counter[float] = field(default_factory=Counter)
    captions: set[str] = field(default_factory=set)

    def add(self, clip: Clip) -> None:
        """Count one clip."""
        self.windows += len(clip.moments)
        self.episodes += 1
        self.terminated += clip.terminated
        self.rewards.update(clip.rewards)
        for moment in clip.moments:
            assert moment.audio is not None
            self.heard += bool(np.abs(moment.audio).max() > HEARD)
            self.captions.add(moment.text)

    def figures(self) -> dict[str, float]:
        """Return the counts; an event is a reward other than the usual one."""
        return {
            "windows": self.windows,
            "episodes": self.episodes,
            "terminated": self.terminated,
            "reward_events": self.rewards.total() - max(self.rewards.values()),
            "heard": self.heard / self.windows,
            "captions": len(self.captions),
        }
