"""Video: the one reader of films, by the clock of a player; the loader and the makers share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.video.reformatter import Interpolation, VideoReformatter

from .gate import LIMITS, MediaError, MediaLimits, check_pixels, decoding
from .structure import check_film

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".webm": "matroska", ".mkv": "matroska"}
WARM_UP = 0.2  # seconds that a decoder of sound needs before what it gives is right

Size = Callable[[int, int], tuple[int, int]]  # height and width as shown to those wanted


class VideoReader:
    """Pictures and sound of one film, by the second at which a player shows and plays them.

    Second 0 is where the picture or the sound begins, whichever is first. A picture is shown until
    the next one; the first also stands before it, and the last until ``seconds``. What an edit list
    hides is not there. Pictures are upright: turned and mirrored as the film says, and their pixels
    are square.

    Attributes:
        name: what errors call it.
        times: ``(n,)`` float64, the second at which each picture is first shown, ascending.
        seconds: at which the last picture is over; the sound may end before or after.
        sounds: it has a sound.
    """

    def __init__(
        self,
        name: str,
        source: Callable[[], BinaryIO],
        kind: str,
        what: str,
        limits: MediaLimits = LIMITS,
        strict: bool = False,
    ) -> None:
        """Read when each picture is shown; none is decoded.

        Args:
            name: what errors call it.
            source: opens the film.
            kind: one of the values of :data:`CONTAINERS`.
            what: it is, in errors.
            limits: of pixels, frames and seconds.
            strict: refuse whatever the decoder has to guess; for films that are read as a whole,
                since a part may begin with pictures that refer to those before it.

        Raises:
            MediaError: it is truncated, damaged, a bomb, of zero length, or of another kind.
        """
        self.name, self._source, self._kind, self._what = name, source, kind, what
        self._limits, self._strict = limits, strict
        with self._opened() as container:
            with source() as file:
                check_film(name, file, kind)
            self._scan(container)

    @property
    def rate(self) -> float:
        """Pictures a second, on average."""
        return len(self.times) / float(self.seconds - self.times[0])

    def shown_at(self, seconds: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return the number of the picture that is shown at each of ``seconds``, ``(n,)``."""
        last = np.searchsorted(self.times, np.asarray(seconds) + self._slack, side="right") - 1
        return np.maximum(last, 0)

    def shown_before(self, seconds: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return the number of the picture that is shown just before each of ``seconds``."""
        last = np.searchsorted(self.times, np.asarray(seconds) - self._slack, side="left") - 1
        return np.maximum(last, 0)

    def parts(self, count: int) -> np.ndarray:
        """Return the number of the last picture of each of ``count`` equal parts of the time."""
        return self.shown_before(self.seconds * np.arange(1, count + 1) / count)

    def pictures(self, numbers: np.ndarray, size: Size | None = None) -> np.ndarray:
        """Return pictures by their numbers in ascending order, ``(n, height, width, 3)`` uint8.

        Args:
            numbers: ``(n,)``.
            size: makes height and width of those shown; default: as they are.

        Raises:
            MediaError: a picture cannot be decoded, the size changes in the middle, or all of them
                unpack to over the limit.
        """
        wanted = self._stamps[numbers].tolist()
        kept: dict[int, np.ndarray] = {}
        for key in dict.fromkeys((self._key_before(wanted[0]), None)):
            kept = self._decode(key, set(wanted), size)
            if len(kept) == len(set(wanted)):
                break  # else the key frame was not found, or there is no such picture
        else:
            missing = min(set(wanted) - set(kept))
            second = self.times[np.searchsorted(self._stamps, missing)]
            raise MediaError(self.name, f"has no picture at second {second:.2f}: it is damaged.")
        return np.stack([kept[stamp] for stamp in wanted])

    def sound(self, start: float, end: float) -> tuple[np.ndarray, int]:
        """Return the sound between two seconds, ``(S, 1)`` float32, and its rate.

        Where the film plays none it is silent.

        Raises:
            MediaError: the film has no sound, or it is damaged, or of a rate over the limit.
        """
        with self._opened() as container:
            stream = container.streams.best("audio")
            if not isinstance(stream, av.AudioStream) or stream.time_base is None:
                raise MediaError(self.name, "has no sound.")
            rate, tick = int(stream.codec_context.sample_rate), float(stream.time_base)
            if not 1 <= rate <= self._limits.rate:
                raise MediaError(self.name, f"has {rate} samples a second.")
            part = np.zeros((max(round((end - start) * rate), 0), 1), np.float32)
            begin = start + self._zero - WARM_UP
            if begin > 0:
                container.seek(int(begin / tick), stream=stream)
            mixer, due = av.AudioResampler(format="flt", layout="mono", rate=rate), 0
            for frame in container.decode(stream):
                first = due
                if frame.time is not None:
                    first = round((frame.time - self._zero - start) * rate)
                if first > len(part):
                    break
                if abs(first - due) <= 2 * tick * rate:  # the file rounds; samples have no gaps
                    first = due
                for piece in mixer.resample(frame):
                    samples = piece.to_ndarray().reshape(-1, 1)  # (S, 1)
                    _lay(part, samples, first)
                    first += len(samples)
                due = first
        return part, rate

    @contextmanager
    def _opened(self) -> Iterator[InputContainer]:
        """Open the film as a file object, so that files that it refers to stay closed."""
        with (
            decoding(self.name, self._what),
            self._source() as file,
            av.open(file, "r", format=self._kind) as container,
        ):
            yield container

    def _stream(self, container: InputContainer) -> av.VideoStream:
        """Return the picture that a player chooses, to be decoded by one thread."""
        stream = container.streams.best("video")
        if not isinstance(stream, av.VideoStream) or stream.time_base is None:
            raise MediaError(self.name, "holds no video.")
        stream.codec_context.thread_count = 1
        options = {"max_pixels": str(self._limits.pixels)}
        stream.codec_context.options = options | ({"err_detect": "explode"} if self._strict else {})
        return stream

    def _scan(self, container: InputContainer) -> None:
        """Read when each picture is shown, and where the key frames are."""
        stream, limits = self._stream(container), self._limits
        self._pixel = float(stream.sample_aspect_ratio or 1)
        width = round(stream.codec_context.width * self._pixel)
        check_pixels(self.name, width, stream.codec_context.height, limits)
        shown = list[tuple[int, int]]()  # when, and for how long
        self._keys: list[tuple[int, int]] = []  # when it is shown, and where it is found
        for packet in container.demux(stream):
            if packet.pts is None:
                continue
            if packet.is_keyframe:
                found = packet.pts if packet.dts is None else min(packet.pts, packet.dts)
                self._keys.append((packet.pts, found))
            if not (packet.is_discard or _is_invisible(packet)):
                shown.append((packet.pts, packet.duration or 0))
            if len(shown) > limits.frames:
                raise MediaError(self.name, f"has over {limits.frames} frames, the limit.")
        if not shown:
            raise MediaError(self.name, "is a clip of zero length.")
        self._stamps = np.unique(np.array([stamp for stamp, _ in shown], np.int64))
        assert stream.time_base is not None
        tick, end = float(stream.time_base), self._end(stream, max(shown)[1])
        begins = [self._stamps[0] * tick, *self._sound_begins(container)]
        self._zero, self._slack = max(min(begins), 0.0), tick / 2
        self.times = self._stamps * tick - self._zero
        self.seconds = float(end * tick - self._zero)
        if self.seconds > limits.seconds:
            raise MediaError(
                self.name, f"lasts {self.seconds:.0f} s and the limit is {limits.seconds:g} s."
            )

    def _end(self, stream: av.VideoStream, duration: int) -> int:
        """Return when the last picture is over, in ticks; ``duration`` is what its packet says.

        In an mp4 that is the time until the next one is decoded, which may be too long, and an edit
        list may cut it: the duration in the header, which may count an empty beginning, bounds it.
        """
        last = int(self._stamps[-1])
        header = (stream.start_time or 0) + (stream.duration or 0)
        told = [end for end in (last + duration, header) if end > last]
        if told:
            return min(told)
        if len(self._stamps) > 1:  # as long as the one before it
            return 2 * last - int(self._stamps[-2])
        rate = stream.average_rate or stream.guessed_rate
        if not rate or stream.time_base is None:
            raise MediaError(self.name, "does not say how long its only picture is shown.")
        return last + max(round(1 / (rate * stream.time_base)), 1)

    def _sound_begins(self, container: InputContainer) -> list[float]:
        """Return the second of the file at which the sound begins, if it has one."""
        stream = container.streams.best("audio")
        self.sounds = stream is not None
        if stream is None or stream.start_time is None or stream.time_base is None:
            return []
        return [float(stream.start_time * stream.time_base)]

    def _key_before(self, stamp: int) -> int | None:
        """Return where the key frame is found that ``stamp`` needs; None: at the beginning."""
        known = [key for key in self._keys if key[0] <= stamp]
        return max(known)[1] if known and max(known) != self._keys[0] else None

    def _decode(
        self, key: int | None, wanted: set[int], size: Size | None
    ) -> dict[int, np.ndarray]:
        """Return the ``wanted`` pictures by their stamps, decoded from the key frame ``key`` on."""
        kept, seen, last = dict[int, np.ndarray](), set[int](), max(wanted)
        colours = VideoReformatter()  # one for the film: it is dear to make
        room = self._limits.unpacked_bytes
        with self._opened() as container:
            stream = self._stream(container)
            if key is not None:
                container.seek(key, stream=stream)
            for frame in container.decode(stream):
                check_pixels(self.name, frame.width, frame.height, self._limits)
                if frame.pts is None:
                    continue
                seen.add(frame.pts)
                if frame.is_corrupt and (self._strict or frame.pts in wanted):
                    raise MediaError(self.name, f"is damaged at second {frame.time:.2f}.")
                if frame.pts in wanted:
                    picture = _upright(frame, colours, self._pixel, size)
                    if kept and picture.shape != next(iter(kept.values())).shape:
                        raise MediaError(self.name, "changes its size in the middle.")
                    if (len(kept) + 1) * picture.nbytes > room:
                        raise MediaError(self.name, f"unpacks to over {room} bytes.")
                    kept[frame.pts] = picture
                if frame.pts >= last:
                    break
        due = (self._stamps >= min(seen, default=0)) & (self._stamps <= last)
        if len(kept) == len(wanted) and len(seen) < due.sum():
            raise MediaError(
                self.name, f"gives {len(seen)} of {due.sum()} pictures: it is damaged."
            )
        return kept


def within(longest: int) -> Size:
    """Return what makes the longer side ``longest`` pixels; smaller pictures keep their size."""

    def size(height: int, width: int) -> tuple[int, int]:
        scale = min(longest / max(height, width), 1.0)
        return max(round(height * scale), 1), max(round(width * scale), 1)

    return size


def _is_invisible(packet: av.Packet) -> bool:
    """Return whether a packet of VP8 is one that others refer to and nobody sees."""
    return packet.stream.codec_context.name == "vp8" and not bytes(packet)[0] & 16


def _upright(
    frame: av.VideoFrame, colours: VideoReformatter, pixel: float, size: Size | None
) -> np.ndarray:
    """Return one picture as it is to be shown, ``(height, width, 3)`` uint8."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    across, down, turned = 1, 1, False
    if isinstance(matrix, SideData):
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[
            :5
        ].tolist()  # x' = ax + cy, y' = bx + dy
        turned = abs(b) + abs(c) > abs(a) + abs(d)
        across, down = (c, b) if turned else (a, d)
    own = frame.height, round(frame.width * pixel)
    wanted = own[::-1] if turned else own
    if size is not None:
        wanted = size(*wanted)
    height, width = wanted[::-1] if turned else wanted
    same = (height, width) == (frame.height, frame.width)
    pixels = colours.reformat(
        frame,
        width=width,
        height=height,
        format="rgb24",
        interpolation=None if same else Interpolation.AREA,
        threads=1,
    ).to_ndarray()
    pixels = pixels.transpose(1, 0, 2) if turned else pixels
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def _lay(part: np.ndarray, piece: np.ndarray, first: int) -> None:
    """Put ``piece`` into ``part`` from the sample ``first`` on, as far as it lies in it."""
    begin, stop = max(first, 0), min(first + len(piece), len(part))
    if begin < stop:
        part[begin:stop] = piece[begin - first : stop - first]
