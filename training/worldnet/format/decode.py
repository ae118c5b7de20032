"""From the bytes of a jpg, png, mp4, wav or flac to arrays; what is damaged is refused.

A decoder may raise anything on bytes that were made to break it, so every error of one becomes a
MediaError. What no check can find is a change that leaves a valid file: a flipped bit inside the
pixels of a jpg, the frames of an mp4 or the samples of a wav (none of them has a checksum; png and
flac have). The hashes of a sealed folder find those.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import av
import numpy as np
import soundfile
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from PIL import Image, ImageOps

from .gate import LIMITS, MediaError, MediaLimits

IMAGE_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr")
PNG = b"\x89PNG\r\n\x1a\n"
END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True)
class Video:
    """Decoded frames.

    Attributes:
        frames: ``(T, H, W, 3)`` uint8, oldest first.
        rate: frames per second in the file.
        total: frames in the file, of which ``frames`` may be a sample.
    """

    frames: np.ndarray
    rate: float
    total: int


@dataclass(frozen=True)
class Sound:
    """A decoded waveform.

    Attributes:
        samples: ``(S, channels)`` float32 in [-1, 1].
        rate: samples per second.
    """

    samples: np.ndarray
    rate: int


def decode_image(name: str, data: bytes, limits: MediaLimits = LIMITS) -> np.ndarray:
    """Return the jpg or png in ``data``, turned upright, ``(H, W, 3)`` uint8.

    Raises:
        MediaError: about ``name``: damaged, truncated, over the limits, or no such image.
    """
    with _decoding(name, "jpg or png"), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # ours is stricter
        if data[:8] == PNG:
            _check_png(name, data)
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            _check_pixels(name, image.width, image.height, limits)
            if image.mode not in IMAGE_MODES:
                raise MediaError(name, f"has pixels of the kind {image.mode}, not of 8 bits.")
            if image.format == "JPEG" and END_OF_JPEG not in data[-(2**16) :]:
                raise MediaError(name, "breaks off before the end of the image.")
            image.load()
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))  # (H, W, 3)


def decode_video(
    name: str, data: bytes, frames: int | None = None, limits: MediaLimits = LIMITS
) -> Video:
    """Return the mp4 in ``data``: all frames, or ``frames`` of them spread evenly, newest last.

    The clip is cut into ``frames`` equal parts and the last frame of each is taken; a clip of
    fewer frames gives some of them twice.

    Raises:
        MediaError: about ``name``: damaged, truncated, of zero length, over the limits, or no mp4.
    """
    with _decoding(name, "mp4"):
        _check_boxes(name, data)
        with _opened(name, data, limits) as container:
            rate, total = _video_header(name, container, limits)
            if not total:  # a fragmented file does not say; count, and begin again
                total = sum(1 for _ in _frames(name, container, limits))
                container.seek(0)
            if not total:
                raise MediaError(name, "is a clip of zero length.")
            wanted = spread(total, frames or total)
            kept, count = _keep(name, container, set(wanted), limits)
        if count != total:
            raise MediaError(
                name, f"has {count} of the {total} frames that its header names: it is truncated."
            )
        if len({frame.shape for frame in kept.values()}) != 1:
            raise MediaError(name, "changes its size in the middle.")
        return Video(np.stack([kept[number] for number in wanted]), rate, total)


def spread(total: int, count: int) -> list[int]:
    """Return the last of each of ``count`` equal parts of ``total`` frames, from 0."""
    return [math.ceil((part + 1) * total / count) - 1 for part in range(count)]


def decode_audio(
    name: str, data: bytes, rate: int | None = None, limits: MediaLimits = LIMITS
) -> Sound:
    """Return the wav or flac in ``data``; a demanded ``rate`` must be the file's.

    Raises:
        MediaError: about ``name``: damaged, truncated, of zero length, over the limits, of another
            rate, not within [-1, 1], or no such sound.
    """
    with _decoding(name, "wav or flac"):
        if data[:4] == b"RIFF":
            _check_chunks(name, data)
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_sound(name, file, rate, limits)
            samples = file.read(dtype="float32", always_2d=True)  # (S, channels)
            if len(samples) != file.frames:
                raise MediaError(
                    name, f"has {len(samples)} of the {file.frames} samples of its header."
                )
            found = int(file.samplerate)
    loudest = float(np.abs(samples).max())
    if not loudest <= 1:  # also NaN
        raise MediaError(name, f"holds samples outside [-1, 1] (up to {loudest:.3g}).")
    return Sound(samples, found)


@contextmanager
def _decoding(name: str, kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a MediaError about ``name``."""
    try:
        yield
    except MediaError:
        raise
    except Exception as error:
        told = str(error) or type(error).__name__
        raise MediaError(name, f"is no whole {kind} ({told}).") from error


def _check_pixels(name: str, width: int, height: int, limits: MediaLimits) -> None:
    """Refuse sizes of nothing and of bombs."""
    if width < 1 or height < 1:
        raise MediaError(name, f"is {width}x{height} pixels.")
    if width * height > limits.pixels:
        raise MediaError(
            name, f"is {width}x{height} pixels and the limit is {limits.pixels}: it was not opened."
        )


@contextmanager
def _opened(name: str, data: bytes, limits: MediaLimits) -> Iterator[InputContainer]:
    """Open an mp4 with a strict decoder of one thread; files that it refers to stay closed."""
    options = {"ignore_editlist": "1"}  # so that the frames of the header are those that come
    with av.open(io.BytesIO(data), "r", format="mp4", container_options=options) as container:
        if not container.streams.video:
            raise MediaError(name, "holds no video.")
        context = container.streams.video[0].codec_context
        context.thread_count = 1
        context.options = {"err_detect": "explode", "max_pixels": str(limits.pixels)}
        yield container


def _video_header(name: str, container: InputContainer, limits: MediaLimits) -> tuple[float, int]:
    """Return the rate and the number of frames that the header names (0: it does not say)."""
    stream = container.streams.video[0]
    _check_pixels(name, stream.codec_context.width, stream.codec_context.height, limits)
    _check_frames(name, stream.frames, limits)
    seconds = float((stream.duration or 0) * (stream.time_base or 0))
    if seconds > limits.seconds:
        raise MediaError(name, f"lasts {seconds:.0f} s and the limit is {limits.seconds:g} s.")
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    if not 0 < rate < math.inf:
        raise MediaError(name, "does not say how many frames a second it has.")
    return rate, stream.frames


def _check_frames(name: str, count: int, limits: MediaLimits) -> None:
    if count > limits.frames:
        raise MediaError(name, f"has over {limits.frames} frames, the limit.")


def _frames(name: str, container: InputContainer, limits: MediaLimits) -> Iterator[av.VideoFrame]:
    """Decode frame after frame; one that the decoder had to guess is refused."""
    for number, frame in enumerate(container.decode(video=0)):
        _check_frames(name, number + 1, limits)
        _check_pixels(name, frame.width, frame.height, limits)
        if frame.is_corrupt:
            raise MediaError(name, f"is damaged in frame {number}.")
        yield frame


def _keep(
    name: str, container: InputContainer, wanted: set[int], limits: MediaLimits
) -> tuple[dict[int, np.ndarray], int]:
    """Return the ``wanted`` frames, ``(H, W, 3)`` uint8 and upright, and how many there are."""
    kept: dict[int, np.ndarray] = {}
    count = unpacked = 0
    colours = VideoReformatter()  # one for the clip: it is dear to make
    for frame in _frames(name, container, limits):
        if count in wanted:
            unpacked += frame.width * frame.height * 3
            if unpacked > limits.unpacked_bytes:
                raise MediaError(name, f"unpacks to over {limits.unpacked_bytes} bytes.")
            turns = round(frame.rotation / 90) % 4  # counterclockwise, as it is to be shown
            pixels = colours.reformat(frame, format="rgb24", threads=1).to_ndarray()
            kept[count] = np.ascontiguousarray(np.rot90(pixels, turns))  # (H, W, 3)
        count += 1
    return kept, count


def _check_png(name: str, data: bytes) -> None:
    """Refuse a png with a wrong checksum or without its end: PIL looks at neither for pixels."""
    place, kind = len(PNG), b""
    while place < len(data) and kind != b"IEND":
        size, kind = struct.unpack_from(">I4s", data, place)
        (checksum,) = struct.unpack_from(">I", data, place + 8 + size)
        if zlib.crc32(data[place + 4 : place + 8 + size]) != checksum:
            raise MediaError(name, f"has a wrong checksum at byte {place}: it is damaged.")
        place += 12 + size
    if kind != b"IEND":
        raise MediaError(name, "breaks off before the end of the image.")


def _check_boxes(name: str, data: bytes) -> None:
    """Refuse an mp4 whose outermost parts do not fill the file."""
    place = 0
    while place + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, place + 8)
        place = place + size if size else len(data)  # 0: up to the end
        if 0 < size < 8:
            raise MediaError(name, "has a part without a size: it is damaged.")
    if place != len(data):
        raise MediaError(name, "ends in the middle of a part: it is truncated or damaged.")


def _check_chunks(name: str, data: bytes) -> None:
    """Refuse a wav whose header promises more than comes: libsndfile reads what there is."""
    promised = struct.unpack_from("<I", data, 4)[0] + 8
    if promised > len(data):
        raise MediaError(
            name, f"has {len(data)} of the {promised} bytes that its header names: it is truncated."
        )
    place, sound = 12, -1
    while place + 8 <= len(data):
        size = struct.unpack_from("<I", data, place + 4)[0]
        if data[place : place + 4] == b"data":
            sound = size
        place += 8 + size + size % 2
        if place - size % 2 > len(data):
            raise MediaError(name, "has a part that is longer than the file: it is damaged.")
    if sound < 1:
        raise MediaError(name, "is a sound of zero length.")


def _check_sound(
    name: str, file: soundfile.SoundFile, rate: int | None, limits: MediaLimits
) -> None:
    """Refuse other formats, what is over the limits, and another rate than the demanded one."""
    if file.format not in ("WAV", "WAVEX", "FLAC"):
        raise MediaError(name, f"is {file.format}, neither wav nor flac.")
    if not 1 <= file.samplerate <= limits.rate or file.channels > limits.channels:
        raise MediaError(
            name, f"has {file.channels} channels at {file.samplerate} Hz; the limits are "
            f"{limits.channels} and {limits.rate} Hz.",
        )  # fmt: skip
    if file.frames < 1:
        raise MediaError(name, "is a sound of zero length.")
    if file.frames > limits.seconds * file.samplerate:
        seconds = file.frames / file.samplerate
        raise MediaError(name, f"lasts {seconds:.0f} s and the limit is {limits.seconds:g} s.")
    if file.frames * file.channels * 4 > limits.unpacked_bytes:
        raise MediaError(name, f"unpacks to over {limits.unpacked_bytes} bytes.")
    if rate is not None and file.samplerate != rate:
        raise MediaError(name, f"has {file.samplerate} samples a second, not the {rate} demanded.")
