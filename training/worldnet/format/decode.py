"""From the bytes of a jpg, png, mp4, wav or flac to arrays; what is damaged is refused.

What no check can find is a change that leaves a valid file: a flipped bit inside the
pixels of a jpg, the frames of an mp4 or the samples of a wav (none of them has a checksum; png and
flac have). The hashes of a sealed folder find those.
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass

import numpy as np
import soundfile
from PIL import Image

from .gate import LIMITS, MediaError, MediaLimits, check_pixels, decoding
from .structure import JPEG, PNG, check_jpeg, check_png, check_wave
from .video import VideoReader

PAPER = (255, 255, 255, 255)  # what lies behind a picture that one can see through
ORIENTATION = 0x0112  # EXIF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Video:
    """Decoded frames.

    Attributes:
        frames: ``(T, H, W, 3)`` uint8, oldest first.
        rate: frames per second in the file, on average.
        total: frames that a player shows, of which ``frames`` may be a sample.
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
    """Return the jpg or png in ``data`` as one sees it, ``(H, W, 3)`` uint8.

    It is turned upright as its EXIF says; what one can see through is laid on white; of 16 bits
    the upper 8 are kept; CMYK becomes RGB without a colour profile. What lies behind the image,
    such as the film of a motion photo or the second view of an MPO, is not read.

    Raises:
        MediaError: about ``name``: damaged, truncated, over the limits, or no such image.
    """
    with decoding(name, "jpg or png"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bombs, where ours is stricter, and of what lies behind
        if data[:8] == PNG:
            check_png(name, data)
        if data[:2] == JPEG:
            check_jpeg(name, data)
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            check_pixels(name, image.width, image.height, limits)
            image.load()
            turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
            seen = _on_paper(name, image, data[24] if data[:8] == PNG else 8)
            return np.array(seen if turn is None else seen.transpose(turn))  # (H, W, 3)


def _on_paper(name: str, image: Image.Image, depth: int) -> Image.Image:
    """Return an image of ``depth`` bits a value as RGB, on white where one can see through it."""
    key = image.info.get("transparency")  # bytes for a palette, else the colour that is none
    if image.mode.startswith("I"):  # 16 bits of grey
        values = np.asarray(image).astype(np.int32)
        grey = values >> 8 if key is None else np.where(values == key, 255, values >> 8)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if isinstance(key, tuple) and depth == 16:
        raise MediaError(name, "has one transparent colour of 16 bits, which is not read.")
    if isinstance(key, int) and image.mode in ("1", "L"):  # PIL has scaled the values, not the key
        image.info["transparency"] = key * 255 // (2**depth - 1)
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, PAPER), seen).convert("RGB")


def decode_video(
    name: str, data: bytes, frames: int | None = None, limits: MediaLimits = LIMITS
) -> Video:
    """Return the mp4 in ``data``: all frames, or the last of each of ``frames`` equal parts.

    The parts are equal in time, by the clock of :class:`~.video.VideoReader`: a frame that is
    shown for long may be taken several times, and one that is shown for a moment not at all.

    Raises:
        MediaError: about ``name``: damaged, truncated, of zero length, over the limits, or no mp4.
    """
    film = VideoReader(name, lambda: io.BytesIO(data), "mp4", "mp4", limits, strict=True)
    total = len(film.times)
    numbers = np.arange(total) if frames is None else film.parts(frames)
    return Video(film.pictures(numbers), film.rate, total)


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
    with decoding(name, "wav or flac"):
        check_wave(name, io.BytesIO(data))
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
