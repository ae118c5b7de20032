"""Footage: a long recording with sound, looked at in parts, so that it need not fit in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from ..format.gate import MediaError, MediaLimits, decoding, resolve
from ..format.sound import MelBands, resample, to_mono
from ..format.structure import check_wave
from ..format.video import CONTAINERS, VideoReader, within
from .cutting import Signals

RECORDING = MediaLimits(frames=2**31, seconds=1e6)  # of parts of one, more are never in memory
RATE = 10  # moments a second that are looked at for cuts
THUMBNAIL = (16, 16)
SOUND_RATE = 16_000  # samples a second that are listened to for cuts
CHUNK = 30  # seconds of sound at a time
MARGIN = 0.05  # seconds around a piece of sound, so that the resampler meets no edge in it


class Footage:
    """One recording inside a root; its sound is in the same file, or in a wav beside it.

    Its clock is that of :class:`~..format.video.VideoReader`; a wav beside it begins at second 0.

    Attributes:
        name: path relative to the root.
        seconds: at which the picture ends.
        rate: frames a second, on average.
        sounds: it has a sound.
    """

    def __init__(self, root: str | Path, name: str, limits: MediaLimits = RECORDING) -> None:
        """Read when each picture of the recording ``name`` inside ``root`` is shown.

        Raises:
            MediaError: it leads outside the root, is missing, truncated, damaged, a bomb, of zero
                length, or no mp4, mov, webm or mkv.
        """
        path = resolve(root, name)
        if path.suffix.lower() not in CONTAINERS:
            raise MediaError(name, f"is no recording: those end with {', '.join(CONTAINERS)}.")
        kind = CONTAINERS[path.suffix.lower()]
        self._film = VideoReader(name, lambda: path.open("rb"), kind, "recording", limits)
        self.name, self.seconds, self.rate = name, self._film.seconds, self._film.rate
        beside = Path(name).with_suffix(".wav")
        there = (Path(root) / beside).exists()
        self._wave = resolve(root, str(beside)) if there else None
        self.sounds = there or self._film.sounds
        if self._wave is not None:
            with self._wave.open("rb") as file:
                check_wave(str(beside), file)

    def signals(self) -> Signals:
        """Return thumbnails and loudness by bands of the whole recording, ten times a second.

        Raises:
            MediaError: the recording is damaged.
        """
        count = max(int(self.seconds * RATE), 1)
        shown = self._film.shown_before((np.arange(count) + 0.5) / RATE)
        pictures = self._film.pictures(shown, lambda height, width: THUMBNAIL)
        sounds = None
        if self.sounds:
            bands = MelBands(SOUND_RATE, SOUND_RATE // RATE)
            starts = range(0, int(np.ceil(self.seconds)), CHUNK)
            pieces = [bands(self.sound(at, at + CHUNK, SOUND_RATE)) for at in starts]
            sounds = np.concatenate(pieces)[:count]  # (count, 16)
        return Signals(RATE, pictures.astype(np.float32) / 255, sounds)

    def film(self, start: float, end: float, frames: int, longest: int) -> np.ndarray:
        """Return the last picture of each of ``frames`` equal parts, ``(frames, h, w, 3)`` uint8.

        Args:
            start: second at which the first part begins.
            end: the last picture is the one seen just before; of no time, the one seen then.
            frames: how many; some are the same where there are not so many.
            longest: pixels of the longer side; smaller recordings keep their size.

        Raises:
            MediaError: the recording is damaged.
        """
        ends = start + (end - start) * np.arange(1, frames + 1) / frames
        shown = self._film.shown_before(ends) if end > start else self._film.shown_at(ends)
        return self._film.pictures(shown, within(longest))

    def sound(self, start: float, end: float, rate: int) -> np.ndarray:
        """Return the sound between two moments, ``((end - start) * rate, 1)`` float32 in [-1, 1].

        What lies outside of the recording is silent.

        Raises:
            MediaError: the recording has no sound, or is damaged.
        """
        read = self._film.sound if self._wave is None else self._read_wave
        samples, own = read(start - MARGIN, end + MARGIN)  # (S, channels)
        if not np.isfinite(samples).all():
            raise MediaError(self.name, "has a sound that is not finite.")
        heard = resample(to_mono(np.clip(samples, -1, 1)), own, rate)
        skip, count = round(MARGIN * rate), round((end - start) * rate)
        heard = np.pad(heard, ((0, max(skip + count - len(heard), 0)), (0, 0)))
        return heard[skip : skip + count]  # (count, 1)

    def _read_wave(self, start: float, end: float) -> tuple[np.ndarray, int]:
        """Return a part of the wav beside the recording, and its rate."""
        with decoding(self.name, "wav beside it"), soundfile.SoundFile(str(self._wave)) as file:
            rate, first = int(file.samplerate), round(start * file.samplerate)
            file.seek(min(max(first, 0), file.frames))
            count = round((end - start) * rate) + min(first, 0)
            samples = file.read(max(count, 0), dtype="float32", always_2d=True)
        return np.pad(samples, ((max(-first, 0), 0), (0, 0))), rate
