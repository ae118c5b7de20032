"""Writes a WorldNet folder: media and annotations in a draft, which appears as a whole."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from worldgpt_env.model.checkpoint import seal
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import AudioSpec, Modality, TextSpec
from worldgpt_env.model.safe_io import draft_of, replace_folder

from .annotation import (
    FLOAT32,
    MEDIA,
    Rejection,
    StateFiles,
    WorldNetError,
    WorldNetTransition,
    sequence_lengths,
    tell_rejected,
    write_annotations,
)
from .description import DESCRIPTION, REJECTED, WorldNetDescription
from .media import FORMATS, MediaError, resolve, write_audio, write_image, write_video


@dataclass(frozen=True)
class Moment:
    """One state as arrays, to be written as media; None or "" is missing.

    Attributes:
        image: ``(H, W, 3)`` uint8.
        video: ``(T, H, W, 3)`` uint8, oldest first.
        audio: ``(S, channels)`` float32 in [-1, 1].
        text: in words.
        vector: ``(n,)`` numbers.
    """

    image: np.ndarray | None = None
    video: np.ndarray | None = None
    audio: np.ndarray | None = None
    text: str = ""
    vector: Sequence[float] | np.ndarray = ()


@dataclass(frozen=True)
class MediaSettings:
    """How media are written.

    Attributes:
        video_rate: frames per second.
        audio_rate: samples per second; None: that of the description's sound.
        quality: of jpg, 1 to 100.
        crf: of mp4, 0 (exact) to 51; see :func:`~.media.write_video`.
    """

    video_rate: float = 16.0
    audio_rate: int | None = None
    quality: int = 95
    crf: int = 4


class WorldNetWriter:
    """Fills a draft beside ``root``, which takes its place at :meth:`finish`.

    As a context it finishes at the end of the block, and removes the draft after an error::

        with WorldNetWriter("runs/mine", description) as writer:
            writer.add_sequence("train", moments, actions, scenario="kitchen")
    """

    def __init__(
        self,
        root: str | Path,
        description: WorldNetDescription,
        *,
        overwrite: bool = False,
        **media: Any,
    ) -> None:
        """Open the draft.

        Args:
            root: the folder to be.
            description: goes into ``worldnet.json``.
            overwrite: replace what is in ``root``, once the new folder is whole.
            **media: how arrays become files, the fields of :class:`MediaSettings`.

        Raises:
            WorldNetError: ``root`` is there already, or cannot be written.
        """
        self.root = Path(root)
        self.description = description
        self.media = MediaSettings(**media)
        self._transitions: dict[str, list[WorldNetTransition]] = {}
        self._split_of: dict[tuple[str, str], str] = {}  # (scenario, episode)
        self._linked: dict[tuple[str, ...], str] = {}  # (split, kind, folder, old name): new name
        self._rejected: list[Rejection] = []
        self._sequences = 0
        if self.root.exists() and not overwrite:
            raise WorldNetError(f"{self.root} is there already; choose another folder.")
        self._draft = draft_of(self.root)
        try:
            self._draft.mkdir(parents=True)
        except OSError as error:
            raise WorldNetError(f"{self.root} cannot be written: {error.strerror}.") from error

    def __enter__(self) -> WorldNetWriter:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the folder, or remove the draft after an error."""
        try:
            if kind is None and self._draft.exists():
                self.finish()
        finally:
            shutil.rmtree(self._draft, ignore_errors=True)

    def add_sequence(
        self,
        split: str,
        moments: Sequence[Moment],
        actions: Sequence[str],
        *,
        scenario: str = "",
        episode: str = "",
        first_step: int = 0,
        rewards: Sequence[float] | np.ndarray | None = None,
        terminated: bool = False,
    ) -> None:
        """Write ``T + 1`` moments and ``T`` actions as ``T`` transitions that share their files.

        Args:
            split: ``"train"``, ``"test"`` or ``"knowledge"``.
            moments: the states, in order.
            actions: what happened between them, in words.
            scenario: which kind of world it is.
            episode: which recording it is; default: the number of the sequence.
            first_step: number of the first transition in its episode.
            rewards: one for each action; default: 0.
            terminated: the world ended after the last action.

        Raises:
            ConfigurationError: lengths, arrays or words do not fit.
            WorldNetError: the episode is in another split, or the disk is full.
        """
        steps, given = len(actions), [0.0] * len(actions) if rewards is None else rewards
        if not steps or len(moments) != steps + 1 or len(given) != steps:
            raise ConfigurationError(
                f"a sequence of {len(moments)} moments, {steps} actions and {len(given)} rewards "
                "cannot be written; it has one moment more than actions and rewards."
            )
        _check_numbers("a reward", given)
        episode = episode or str(self._sequences)
        self._enter_episode(split, scenario, episode)
        states = [self._write_moment(split, step, moment) for step, moment in enumerate(moments)]
        for step, action in enumerate(actions):
            self._add(
                split,
                WorldNetTransition(
                    states[step],
                    states[step + 1],
                    action,
                    scenario,
                    episode,
                    first_step + step,
                    float(given[step]),
                    terminated and step == steps - 1,
                ),
            )
        self._sequences += 1

    def add_files(
        self, split: str, transitions: Iterable[WorldNetTransition], source: str | Path
    ) -> None:
        """Take over transitions whose media lie inside the folder ``source``.

        Files are linked (copied onto another disk); a file that several transitions name stays one.
        A transition with a file that is missing or leads outside ``source``, or with words that do
        not fit, is rejected.

        Raises:
            WorldNetError: the episode is in another split, or the disk is full.
        """
        for row, transition in enumerate(transitions):
            self._enter_episode(split, transition.scenario, transition.episode)
            try:
                states = [
                    self._link_state(split, state, Path(source))
                    for state in (transition.state0, transition.state1)
                ]
                self._add(split, replace(transition, state0=states[0], state1=states[1]))
            except (MediaError, ConfigurationError) as error:
                self.reject(Rejection(str(source), row, str(error)))

    def reject(self, rejection: Rejection) -> None:
        """Keep a line about what was left out."""
        self._rejected.append(rejection)

    def finish(self) -> None:
        """Seal the draft with the hashes of all files, and put it in the place of ``root``.

        Raises:
            WorldNetError: nothing was added, or the disk is full.
        """
        if not self._transitions:
            raise WorldNetError(
                f"{self.root} would hold no transition; it was not written. "
                f"{tell_rejected(self._rejected)}"
            )
        try:
            for split, transitions in self._transitions.items():
                write_annotations(self._draft / f"{split}.json", transitions)
            lines = [json.dumps(item.to_json()) + "\n" for item in self._rejected]
            (self._draft / REJECTED).write_text("".join(lines), encoding="utf-8")
            told = json.dumps(self._told(), indent=1, allow_nan=False)
            (self._draft / DESCRIPTION).write_text(told + "\n", encoding="utf-8")
            seal(self._draft)
            replace_folder(self._draft, self.root)
        except OSError as error:
            raise self._unwritable(error) from error

    def _told(self) -> dict[str, Any]:
        """Return what goes into ``worldnet.json``."""
        counts = {
            split: {
                "transitions": len(rows),
                "episodes": len(sequence_lengths(enumerate(rows))),
            }
            for split, rows in self._transitions.items()
        }
        return {
            **self.description.to_json(),
            "counts": {**counts, "rejected": len(self._rejected)},
            "annotations": [f"{split}.json" for split in self._transitions],
        }

    def _add(self, split: str, transition: WorldNetTransition) -> None:
        """Keep one transition whose words and numbers fit."""
        _check_numbers("the reward", [transition.reward])
        self.description.action.vocabulary.encode(transition.action)
        spec = self.description.specs.get(Modality.TEXT)
        for state in (transition.state0, transition.state1):
            if isinstance(spec, TextSpec):
                spec.encode(state.text)
        self._transitions.setdefault(split, []).append(transition)

    def _enter_episode(self, split: str, scenario: str, episode: str) -> None:
        """Refuse an episode that another split has: a test would ask for what was trained."""
        if not re.fullmatch(r"[A-Za-z0-9_-]+", split) or split in ("worldnet", "manifest"):
            raise ConfigurationError(
                f"the split {split!r} is no plain word; use 'train' or 'test'."
            )
        before = self._split_of.setdefault((scenario, episode), split) if episode else split
        if before != split:
            raise WorldNetError(
                f"the episode {episode!r} of {scenario!r} is in the split {before!r} already and "
                f"cannot be in {split!r} too."
            )

    def _write_moment(self, split: str, step: int, moment: Moment) -> StateFiles:
        """Write the media of one moment."""
        name = f"{split}/{self._sequences:06d}-{step:04d}"
        written, media = {}, self.media
        try:
            if moment.image is not None:
                written["image"] = f"image/{name}.jpg"
                write_image(self._draft / written["image"], moment.image, media.quality)
            if moment.video is not None:
                written["video"] = f"video/{name}.mp4"
                path = self._draft / written["video"]
                write_video(path, moment.video, media.video_rate, media.crf)
            if moment.audio is not None:
                written["audio"] = f"audio/{name}.wav"
                write_audio(self._draft / written["audio"], moment.audio, self._audio_rate())
        except OSError as error:
            raise self._unwritable(error) from error
        numbers = tuple(float(number) for number in moment.vector)
        state = StateFiles(**written, text=moment.text, vector=numbers)
        _check_numbers(f"a number of moment {step}", numbers)
        if not state.modalities:
            raise ConfigurationError(f"moment {step} is empty; give it an image or another part.")
        return state

    def _audio_rate(self) -> int:
        """Return the samples per second of what is written."""
        spec = self.description.specs.get(Modality.AUDIO)
        if self.media.audio_rate is None and not isinstance(spec, AudioSpec):
            raise ConfigurationError("the rate of the sound is not known; give audio_rate.")
        return self.media.audio_rate or spec.rate  # type: ignore[union-attr]

    def _link_state(self, split: str, state: StateFiles, source: Path) -> StateFiles:
        """Link the media of one state into the draft."""
        linked: dict[str, Any] = {
            kind: self._link(split, kind, getattr(state, kind), source)
            for kind in MEDIA
            if getattr(state, kind)
        }
        return replace(state, **linked)

    def _link(self, split: str, kind: str, name: str, source: Path) -> str:
        """Link one file, once, and return its new name."""
        key = (split, kind, str(source), name)
        if key not in self._linked:
            path = resolve(source, name)
            if path.suffix.lower() not in FORMATS[kind]:
                raise MediaError(name, f"is no {kind}: those end with {', '.join(FORMATS[kind])}.")
            new = f"{kind}/{split}/linked-{len(self._linked):06d}{path.suffix.lower()}"
            target = self._draft / new
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(path, target)
                except OSError:  # another disk, or one without links
                    shutil.copyfile(path, target)
            except OSError as error:
                raise self._unwritable(error) from error
            self._linked[key] = new
        return self._linked[key]

    def _unwritable(self, error: OSError) -> WorldNetError:
        reason = getattr(error, "reason", None) or error.strerror or error
        return WorldNetError(f"{self.root} could not be written ({reason}); it is unchanged.")


def _check_numbers(what: str, numbers: Iterable[float]) -> None:
    """Refuse what a recording, which keeps 32 bits of a number, would not give back."""
    for number in numbers:
        if not abs(number) <= FLOAT32:  # also NaN
            raise ConfigurationError(
                f"{what} is {number}, not finite in 32 bits; give one within ±{FLOAT32:.4g}."
            )
