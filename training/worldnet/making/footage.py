"""Footage: a long recording with sound, looked at in parts, so that it need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import soundfile
from av.container import InputContainer
from av.video.reformatter import Interpolation, VideoReformatter

from ..format.gate import LIMITS, MediaError, MediaLimits, resolve
from .cutting import Signals
from .sound import MelBands, resample, to_mono

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".webm": "matroska", ".mkv": "matroska"}
RATE = 10  # moments a second that are looked at for cuts
THUMBNAIL = (16, 16)
SOUND_RATE = 16_000  # samples a second that are listened to for cuts
CHUNK = 30  # seconds of sound at a time
MARGIN = 0.05  # seconds around a piece of sound, so that the resampler meets no edge in it


class Footage:
    """One recording inside a root; its sound is in the same file, or in a wav beside it.

    Attributes:
        name: path relative to the root.
        seconds: how long the picture lasts.
        rate: frames a second.
        sounds: it has a sound.
    """

    def __init__(self, root: str | Path, name: str, limits: MediaLimits = LIMITS) -> None:
        """Read the header of the recording ``name`` inside ``root``.

        Raises:
            MediaError: it leads outside the root, is missing, damaged, a bomb, of zero length, or
                no mp4, mov, webm or mkv.
        """
        self.name = name
        self._path = resolve(root, name)
        if self._path.suffix.lower() not in CONTAINERS:
            raise MediaError(name, f"is no recording: those end with {', '.join(CONTAINERS)}.")
        beside = Path(name).with_suffix(".wav")
        there = (Path(root) / beside).exists()
        self._wave = resolve(root, str(beside)) if there else None
        with self._opened() as container:
            if not container.streams.video:
                raise MediaError(name, "holds no video.")
            stream = container.streams.video[0]
            pixels = stream.codec_context.width * stream.codec_context.height
            if not 0 < pixels <= limits.pixels:
                raise MediaError(name, f"has {pixels} pixels a frame, the limit {limits.pixels}.")
            self.rate = float(stream.average_rate or 0)
            self.seconds = _seconds(container)
            self._size = (stream.codec_context.height, stream.codec_context.width)
            self.sounds = there or bool(container.streams.audio)
        if not (self.rate > 0 and self.seconds > 0):
            raise MediaError(name, "is a recording of zero length.")

    def signals(self) -> Signals:
        """Return thumbnails and loudness by bands of the whole recording, ten times a second.

        Raises:
            MediaError: the recording is damaged.
        """
        count = max(int(self.seconds * RATE), 1)
        pictures = self._pictures([(moment + 0.5) / RATE for moment in range(count)], THUMBNAIL)
        sounds = None
        if self.sounds:
            bands = MelBands(SOUND_RATE, SOUND_RATE // RATE)
            starts = range(0, int(np.ceil(self.seconds)), CHUNK)
            pieces = [bands(self.sound(at, at + CHUNK, SOUND_RATE)) for at in starts]
            sounds = np.concatenate(pieces)[:count]  # (count, 16)
        return Signals(RATE, pictures.astype(np.float32) / 255, sounds)

    def film(self, start: float, end: float, frames: int, longest: int) -> np.ndarray:
        """Return ``frames`` pictures between two moments, spread evenly, ``(frames, h, w, 3)``.

        Args:
            start: seconds since the beginning.
            end: the last picture is the one seen just before.
            frames: how many; some are the same where there are not so many.
            longest: pixels of the longer side; smaller recordings keep their size.
        """
        height, width = self._size
        scale = min(longest / max(height, width), 1.0)
        size = max(round(height * scale), 1), max(round(width * scale), 1)
        step = (end - start) / frames
        late = min(step, 1 / self.rate) / 2
        return self._pictures([start + (k + 1) * step - late for k in range(frames)], size)

    def sound(self, start: float, end: float, rate: int) -> np.ndarray:
        """Return the sound between two moments, ``((end - start) * rate, 1)`` float32 in [-1, 1].

        What lies outside of the recording is silent.

        Raises:
            MediaError: the recording has no sound, or is damaged.
        """
        read = self._read_wave if self._wave is not None else self._read_track
        samples, own = read(start - MARGIN, end + MARGIN)  # (S, channels)
        heard = resample(to_mono(np.clip(samples, -1, 1)), own, rate)
        skip, count = round(MARGIN * rate), round((end - start) * rate)
        heard = np.pad(heard, ((0, max(skip + count - len(heard), 0)), (0, 0)))
        return heard[skip : skip + count]  # (count, 1)

    @contextmanager
    def _opened(self) -> Iterator[InputContainer]:
        """Open the file; whatever the decoder raises becomes a MediaError."""
        kind = CONTAINERS[self._path.suffix.lower()]
        try:  # a file object: what the recording refers to stays closed
            with self._path.open("rb") as file, av.open(file, "r", format=kind) as container:
                yield container
        except MediaError:
            raise
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaError(self.name, f"is no whole recording ({error}).") from error

    def _pictures(self, times: Sequence[float], size: tuple[int, int]) -> np.ndarray:
        """Return what is seen at ``times``, in order, ``(n, height, width, 3)`` uint8."""
        height, width = size
        seen: list[np.ndarray] = []
        colours, shown = VideoReformatter(), None
        with self._opened() as container:
            for second, frame in _frames(container, times[0]):
                while shown is not None and len(seen) < len(times) and second > times[len(seen)]:
                    seen.append(_picture(colours, shown, height, width))
                shown = frame
                if len(seen) == len(times):
                    return np.stack(seen)
                last = second
        if shown is None or last < times[-1] - 1.0:
            raise MediaError(self.name, f"breaks off before second {times[-1]:.1f}.")
        rest = [_picture(colours, shown, height, width)] * (len(times) - len(seen))
        return np.stack([*seen, *rest])

    def _read_wave(self, start: float, end: float) -> tuple[np.ndarray, int]:
        """Return a part of the wav beside the recording, and its rate."""
        try:
            with soundfile.SoundFile(str(self._wave)) as file:
                rate, first = int(file.samplerate), round(start * file.samplerate)
                file.seek(min(max(first, 0), file.frames))
                count = round((end - start) * rate) + min(first, 0)
                samples = file.read(max(count, 0), dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, OSError) as error:
            raise MediaError(self.name, f"has no whole wav beside it ({error}).") from error
        return np.pad(samples, ((max(-first, 0), 0), (0, 0))), rate

    def _read_track(self, start: float, end: float) -> tuple[np.ndarray, int]:
        """Return a part of the recording's own sound, and its rate."""
        with self._opened() as container:
            if not container.streams.audio:
                raise MediaError(self.name, "has no sound.")
            stream = container.streams.audio[0]
            rate = int(stream.codec_context.sample_rate)
            part = np.zeros((round((end - start) * rate), 1), np.float32)
            base = stream.time_base or 0
            container.seek(max(int((start - 0.2) / base), 0), stream=stream)
            mixer = av.AudioResampler(format="flt", layout="mono", rate=rate)
            for frame in container.decode(stream):
                if frame.time is not None and frame.time > end:
                    break
                first = round(((frame.time or 0.0) - start) * rate)
                for piece in mixer.resample(frame):
                    _lay(part, piece.to_ndarray().reshape(-1, 1), first)
        return part, rate


def _lay(part: np.ndarray, piece: np.ndarray, first: int) -> None:
    """Put ``piece`` into ``part`` from the sample ``first`` on, as far as it lies in it."""
    begin, stop = max(first, 0), min(first + len(piece), len(part))
    if begin < stop:
        part[begin:stop] = piece[begin - first : stop - first]


def _seconds(container: InputContainer) -> float:
    """Return how long the picture lasts, as the header has it."""
    stream = container.streams.video[0]
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return float((container.duration or 0) / 1_000_000)


def _frames(container: InputContainer, start: float) -> Iterator[tuple[float, av.VideoFrame]]:
    """Decode from the key frame before ``start`` on, with the second at which each is shown."""
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    base, first = stream.time_base or 0, stream.start_time or 0
    if start > 1:
        container.seek(int((start - 0.1) / base) + first, stream=stream)
    for frame in container.decode(stream):
        if frame.pts is not None:
            yield float((frame.pts - first) * base), frame


def _picture(
    colours: VideoReformatter, frame: av.VideoFrame, height: int, width: int
) -> np.ndarray:
    """Return one frame upright, ``(height, width, 3)`` uint8."""
    turns = round(frame.rotation / 90) % 4  # counterclockwise, as it is to be shown
    if turns % 2:
        height, width = width, height
    small = colours.reformat(
        frame,
        width=width,
        height=height,
        format="rgb24",
        interpolation=Interpolation.AREA,
        threads=1,
    )
    return np.ascontiguousarray(np.rot90(small.to_ndarray(), turns))
