"""Events: parts of recordings in which something happens, written as transitions and media."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from worldgpt_env.model.errors import ConfigurationError
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

from ..format.annotation import Rejection, WorldNetError, count_rejected, tell_rejected
from ..format.description import WorldNetDescription
from ..format.folder import WorldNetFolder
from ..format.gate import MediaError
from ..format.writer import Moment, WorldNetWriter
from .captions import WHOLE, Caption
from .footage import Footage
from .splits import SplitShares, split_sources

MEDIA = (Modality.IMAGE, Modality.VIDEO, Modality.AUDIO)


@dataclass(frozen=True)
class Event:
    """Something that happens in a recording.

    Attributes:
        recording: its path relative to the folder of recordings; also the episode.
        start: second at which it begins.
        end: second at which it is over.
        caption: what is told about it, in plain words.
        scenario: which kind of recording it is.
        row: its number in ``source``.
        source: the annotation file or recording that told of it.
        joined: it goes on where the event before ended; they share that state.
        shot: seconds between which all pictures are of one shot; another shot is no past of it.
    """

    recording: str
    start: float
    end: float
    caption: Caption
    scenario: str = ""
    row: int = 0
    source: str = ""
    joined: bool = False
    shot: tuple[float, float] = WHOLE


@dataclass(frozen=True)
class StateConfig:
    """What is kept of a recording at a moment: the picture, and what led to it.

    Attributes:
        seconds: of film and sound up to the moment, never after it. A film goes back to the
            beginning of its shot and is shorter there: one picture at the very beginning. Sound
            before the recording is silence.
        frames: of a whole film; the image is the last.
        longest: pixels of the longer side of what is written.
        size: ``(height, width)`` that models fit pictures to by default.
        sound_rate: samples per second.
        media: which of image, video and audio are kept; a recording without sound has none.
        quality: x264's crf of films; 0 is exact, 18 hardly visible.
    """

    seconds: float = 1.0
    frames: int = 8
    longest: int = 256
    size: tuple[int, int] = (64, 64)
    sound_rate: int = 16_000
    media: tuple[Modality, ...] = MEDIA
    quality: int = 18

    def __post_init__(self) -> None:
        """Refuse states of nothing."""
        if not (self.seconds > 0 and self.frames > 0 and self.longest > 15 and self.sound_rate > 0):
            raise ConfigurationError(
                f"a state of {self.frames} frames in {self.seconds} s at {self.longest} pixels and "
                f"{self.sound_rate} Hz shows nothing; give more."
            )
        object.__setattr__(self, "media", tuple(Modality(name) for name in self.media))
        if not self.media or set(self.media) - set(MEDIA):
            raise ConfigurationError(
                f"media are {[str(m) for m in self.media]}; choose from image, video, audio."
            )

    def specs(self) -> dict[Modality, ModalitySpec]:
        """Return the shape of each kept modality."""
        every: dict[Modality, ModalitySpec] = {
            Modality.IMAGE: ImageSpec(*self.size),
            Modality.VIDEO: VideoSpec(self.frames, *self.size),
            Modality.AUDIO: AudioSpec(round(self.seconds * self.sound_rate), 1, self.sound_rate),
        }
        return {modality: every[modality] for modality in every if modality in self.media}


@dataclass
class EventBook:
    """Events that were found and those that were refused, before anything is written.

    Attributes:
        root: folder of the recordings.
        events: those to write, by recording and in order.
        rejected: the others.
        numbers: what the numbers of the states are; None: they have none.
    """

    root: Path
    events: list[Event] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    numbers: VectorSpec | None = None

    def reject(self, source: str, row: int, reason: str) -> None:
        """Keep why an event is left out."""
        self.rejected.append(Rejection(source, row, reason))


def write_events(
    book: EventBook,
    out: str,
    name: str,
    config: StateConfig,
    built: dict[str, Any],
    shares: SplitShares,
    seed: int,
) -> WorldNetFolder:
    """Cut the media of all events out of their recordings and write a WorldNet.

    Splits are drawn by recording. What cannot be read is rejected with a reason.

    Raises:
        WorldNetError: there is nothing to write, or ``out`` is there already.
    """
    if not book.events:
        raise WorldNetError(
            f"{out} would hold no transition; it was not written. {tell_rejected(book.rejected)}"
        )
    scenario_of = {event.recording: event.scenario for event in reversed(book.events)}
    split_of = split_sources(scenario_of, shares, seed)
    description = _describe(book, name, config, built)
    with WorldNetWriter(
        out,
        description,
        video_rate=config.frames / config.seconds,
        audio_rate=config.sound_rate,
        crf=config.quality,
    ) as writer:
        for rejection in book.rejected:
            writer.reject(rejection)
        with tqdm(total=len(book.events), desc="cut", unit="event", disable=None) as bar:
            for recording, group in groupby(book.events, key=lambda event: event.recording):
                events = list(group)
                try:
                    footage = Footage(book.root, recording)
                except MediaError as error:
                    _reject_all(writer, events, error)
                else:
                    _write_recording(writer, footage, events, split_of[recording], config)
                bar.update(len(events))
    return WorldNetFolder.open(out)


def tally(book: EventBook, folder: WorldNetFolder) -> dict[str, Any]:
    """Return the figures of what was written: events and recordings per scenario, splits."""
    return {
        "found": len(book.events) + sum(rejection.row >= 0 for rejection in book.rejected),
        "rejected": folder.counts["rejected"],
        "refused": count_rejected(folder.left_out()),
        "scenarios": dict(Counter(event.scenario for event in book.events)),
        "splits": {split: folder.counts[split]["transitions"] for split in folder.splits},
        "recordings": len({event.recording for event in book.events}),
        "out": str(folder.root),
    }


def _write_recording(
    writer: WorldNetWriter, footage: Footage, events: list[Event], split: str, config: StateConfig
) -> None:
    """Write the events of one recording; those that are joined as one sequence."""
    moments: list[Moment] = []
    run: list[Event] = []
    first = 0

    def flush() -> None:
        if not run:
            return
        try:
            writer.add_sequence(
                split,
                moments,
                [event.caption.action for event in run],
                scenario=run[0].scenario,
                episode=footage.name,
                first_step=first,
                rewards=[event.caption.reward for event in run],
            )
        except ConfigurationError as error:  # rewards too large
            _reject_all(writer, run, error)

    for step, event in enumerate(events):
        joined = event.joined and run and run[-1].scenario == event.scenario
        try:
            before = moments[-1] if joined else _moment(footage, event, True, config)
            after = _moment(footage, event, False, config)
            if _same(before, after, config.frames):
                raise MediaError(footage.name, "looks and sounds the same before and after it.")
        except MediaError as error:
            _reject_all(writer, [event], error)
            flush()
            moments, run = [], []
            continue
        if not joined:
            flush()
            moments, run, first = [before], [], step
        moments.append(after)
        run.append(event)
    flush()


def _moment(footage: Footage, event: Event, opening: bool, config: StateConfig) -> Moment:
    """Return the state at the beginning or the end of an event."""
    begin, end = event.shot
    moment = max(event.start, begin) if opening else min(event.end, end)
    step = config.seconds / config.frames  # between two pictures of a film
    count = min(int((moment - begin) / step + 1e-6), config.frames)
    film = footage.film(moment - count * step, moment, max(count, 1), config.longest)
    sound = None
    if Modality.AUDIO in config.media and footage.sounds:
        sound = footage.sound(moment - config.seconds, moment, config.sound_rate)
    caption = event.caption
    return Moment(
        film[-1] if Modality.IMAGE in config.media else None,
        film if Modality.VIDEO in config.media else None,
        sound,
        caption.before if opening else caption.after,
        caption.vector_before if opening else caption.vector_after,
    )


def _same(before: Moment, after: Moment, frames: int) -> bool:
    """Return whether nothing tells two states apart once their films have all ``frames``."""
    if (before.text, tuple(before.vector)) != (after.text, tuple(after.vector)):
        return False
    films = [
        None if film is None else np.pad(film, ((frames - len(film), 0), *[(0, 0)] * 3), "edge")
        for film in (before.video, after.video)
    ]
    pairs = [(before.image, after.image), (before.audio, after.audio), (films[0], films[1])]
    return all(
        one is other if one is None or other is None else np.array_equal(one, other)
        for one, other in pairs
    )


def _describe(
    book: EventBook, name: str, config: StateConfig, built: dict[str, Any]
) -> WorldNetDescription:
    """Return a description with the words of all events."""
    specs, events = config.specs(), book.events
    if book.numbers is not None:
        specs[Modality.VECTOR] = book.numbers
    texts = [text for e in events for text in (e.caption.before, e.caption.after) if text]
    if texts:
        specs[Modality.TEXT] = TextSpec.of(_words(texts), max(len(t.split()) for t in texts))
    actions = [event.caption.action for event in events]
    action = ActionSpec.text(_words(actions), max(len(text.split()) for text in actions))
    ordered = {modality: specs[modality] for modality in Modality if modality in specs}
    scenarios = tuple(sorted({event.scenario for event in events} - {""}))
    return WorldNetDescription(name, ordered, action, scenarios, built)


def _words(texts: Iterable[str]) -> list[str]:
    return [word for text in texts for word in text.split()]


def _reject_all(writer: WorldNetWriter, events: Iterable[Event], error: Exception) -> None:
    for event in events:
        writer.reject(Rejection(event.source, event.row, str(error)))
