"""Media files inside one root, read with limits, and written; every fault is a MediaError."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import soundfile
from av.video.reformatter import VideoReformatter
from PIL import Image

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.safe_io import write_bytes

from .decode import Sound, Video, decode_audio, decode_image, decode_video
from .gate import LIMITS, MediaError, MediaLimits, read_bytes, resolve

__all__ = [
    "FORMATS", "LIMITS", "MediaError", "MediaLimits", "Sound", "Video", "read_audio", "read_bytes",
    "read_image", "read_video", "resolve", "write_audio", "write_image", "write_video",
]  # fmt: skip

FORMATS = {
    "image": (".jpg", ".jpeg", ".png"),
    "video": (".mp4",),
    "audio": (".wav", ".flac"),
}


def read_image(root: str | Path, name: str, limits: MediaLimits = LIMITS) -> np.ndarray:
    """Return the jpg or png ``name`` inside ``root``, ``(H, W, 3)`` uint8.

    Raises:
        MediaError: as :func:`read_bytes`, or it is damaged, truncated, a bomb or no such image.
    """
    return decode_image(name, read_bytes(root, name, limits), limits)


def read_video(
    root: str | Path, name: str, frames: int | None = None, limits: MediaLimits = LIMITS
) -> Video:
    """Return the mp4 ``name`` inside ``root``: all frames, or ``frames`` of them spread evenly.

    Raises:
        MediaError: as :func:`read_bytes`, or it is damaged, truncated, empty, a bomb or no mp4.
    """
    return decode_video(name, read_bytes(root, name, limits), frames, limits)


def read_audio(
    root: str | Path, name: str, rate: int | None = None, limits: MediaLimits = LIMITS
) -> Sound:
    """Return the wav or flac ``name`` inside ``root``; a demanded ``rate`` must be the file's.

    Raises:
        MediaError: as :func:`read_bytes`, or it is damaged, truncated, empty, a bomb, no such
            sound, of another rate, or not within [-1, 1].
    """
    return decode_audio(name, read_bytes(root, name, limits), rate, limits)


def write_image(path: str | Path, image: np.ndarray, quality: int = 95) -> None:
    """Write ``(H, W, 3)`` uint8 as a jpg of that quality (colours at full size), or as png (exact).

    Raises:
        ConfigurationError: the array, the quality or the ending of ``path`` does not fit.
    """
    path = Path(path)
    _check_pixels(path, image, 3)
    if path.suffix not in FORMATS["image"] or not 1 <= quality <= 100:
        raise ConfigurationError(
            f"{path} of quality {quality} cannot be written; images are .jpg of quality 1 to 100 "
            "or .png."
        )
    kind = "PNG" if path.suffix == ".png" else "JPEG"
    options = {} if kind == "PNG" else {"quality": quality, "subsampling": 0}
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    write_bytes(path, buffer.getvalue())


def write_video(path: str | Path, frames: np.ndarray, rate: float, crf: int = 4) -> None:
    """Write ``(T, H, W, 3)`` uint8 as an H.264 mp4 of ``rate`` frames a second.

    Colours are kept at full size (yuv444p), because the pixels of games bleed into each other
    otherwise; players built on FFmpeg show it, some of those in browsers and phones do not.
    ``crf`` is x264's: 0 stores the exact pixels (as RGB), 4 is beyond what one sees, 18 is small.

    Raises:
        ConfigurationError: the array, the rate, ``crf`` or the ending of ``path`` does not fit.
    """
    path = Path(path)
    _check_pixels(path, frames, 4)
    if path.suffix not in FORMATS["video"] or not 0 < rate <= 1000 or not 0 <= crf <= 51:
        raise ConfigurationError(
            f"{path} of {rate} frames a second and crf {crf} cannot be written; a video is .mp4 of "
            "a rate up to 1000 and a crf from 0 to 51."
        )
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        codec = "libx264rgb" if crf == 0 else "libx264"
        exact_rate = Fraction(rate).limit_denominator(1001)
        stream = cast(av.VideoStream, container.add_stream(codec, rate=exact_rate))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24" if crf == 0 else "yuv444p"
        # With x264's macroblock tree one film in twenty comes out as other bytes the second time.
        stream.options = {"crf": str(crf), "preset": "veryfast", "x264-params": "mbtree=0"}
        stream.codec_context.thread_count = 1
        colours = VideoReformatter()
        for number, pixels in enumerate(frames):  # (H, W, 3)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = colours.reformat(frame, format=stream.pix_fmt, threads=1)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    write_bytes(path, buffer.getvalue())


def write_audio(path: str | Path, samples: np.ndarray, rate: int) -> None:
    """Write ``(S, channels)`` floats in [-1, 1] as wav or flac of 16 bits a sample.

    Raises:
        ConfigurationError: the array, the rate or the ending of ``path`` does not fit.
    """
    path = Path(path)
    fits = samples.ndim == 2 and samples.size and np.issubdtype(samples.dtype, np.floating)
    if not fits or not np.abs(samples).max() <= 1:
        raise ConfigurationError(
            f"{path} cannot be written: a sound is (samples, channels) floats within [-1, 1], not "
            f"{samples.dtype} {samples.shape}."
        )
    if path.suffix not in FORMATS["audio"] or rate < 1:
        raise ConfigurationError(f"{path} at {rate} Hz cannot be written; use .wav or .flac.")
    steps = np.clip(np.rint(samples * 2.0**15), -(2**15), 2**15 - 1).astype(np.int16)
    buffer = io.BytesIO()
    kind = path.suffix[1:].upper()
    soundfile.write(buffer, steps, rate, subtype="PCM_16", format=kind)
    write_bytes(path, buffer.getvalue())


def _check_pixels(path: Path, pixels: np.ndarray, axes: int) -> None:
    """Refuse what is no uint8 RGB array of ``axes`` axes."""
    if pixels.ndim != axes or pixels.shape[-1] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        shape = "(H, W, 3)" if axes == 3 else "(T, H, W, 3)"
        raise ConfigurationError(
            f"{path} cannot be written: the pixels are {pixels.dtype} {pixels.shape} instead of "
            f"uint8 {shape}."
        )
