"""Media files: read with limits inside one root, and written; every fault is a MediaError."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image

from worldgpt_env.model.errors import ConfigurationError, WorldGPTError

FORMATS = {
    "image": (".jpg", ".jpeg", ".png"),
    "video": (".mp4",),
    "audio": (".wav", ".flac"),
}


class MediaError(WorldGPTError, ValueError):
    """A media file is missing, damaged, too big, or not where it may be.

    Attributes:
        file: its name as the annotation has it.
        reason: what is wrong with it.
    """

    def __init__(self, file: str | Path, reason: str) -> None:
        """Say ``reason`` about ``file``."""
        super().__init__(f"{file}: {reason}")
        self.file = str(file)
        self.reason = reason


@dataclass(frozen=True)
class MediaLimits:
    """What is read at most; a file beyond is refused before it is unpacked.

    Attributes:
        file_bytes: size of a file.
        pixels: of an image, or of one frame of a video.
        frames: of a video.
        seconds: of a video or a sound.
        rate: samples per second of a sound.
        channels: of a sound.
    """

    file_bytes: int = 2**28
    pixels: int = 2**25
    frames: int = 20_000
    seconds: float = 600.0
    rate: int = 192_000
    channels: int = 8

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through."""
        for name, value in vars(self).items():
            if value <= 0:
                raise ConfigurationError(f"the limit {name} is {value}; give a number above 0.")


LIMITS = MediaLimits()


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


def resolve(root: str | Path, name: str) -> Path:
    """Return the real path of the media file ``name``, which must lie inside ``root``.

    Raises:
        MediaError: it leads outside the root (absolute, through ``..`` or a symbolic link), is no
            regular file, or is not there.
    """
    if "\0" in name:
        raise MediaError(repr(name), "is no file name.")
    base = Path(root).resolve()
    try:
        path = (base / name).resolve()
    except (OSError, RuntimeError) as error:  # a circle of links, a name that is too long
        raise MediaError(name, f"cannot be found ({error}).") from error
    if not path.is_relative_to(base) or Path(name).is_absolute():
        raise MediaError(name, f"leads outside the root {root}; it was not opened.")
    try:
        there = path.is_file()
    except OSError as error:
        raise MediaError(name, f"cannot be found ({error.strerror}).") from error
    if not there:
        raise MediaError(name, f"is no file in {root}.")
    return path


def read_bytes(root: str | Path, name: str, limits: MediaLimits = LIMITS) -> bytes:
    """Return the bytes of ``name``; an empty or too big file is a MediaError."""
    raise NotImplementedError


def read_image(root: str | Path, name: str, limits: MediaLimits = LIMITS) -> np.ndarray:
    """Return the jpg or png ``name`` inside ``root``, ``(H, W, 3)`` uint8."""
    raise NotImplementedError


def read_video(
    root: str | Path, name: str, frames: int | None = None, limits: MediaLimits = LIMITS
) -> Video:
    """Return the mp4 ``name`` inside ``root``: all frames, or ``frames`` of them spread evenly."""
    raise NotImplementedError


def read_audio(
    root: str | Path, name: str, rate: int | None = None, limits: MediaLimits = LIMITS
) -> Sound:
    """Return the wav or flac ``name`` inside ``root``; a demanded ``rate`` must be the file's."""
    raise NotImplementedError


def write_image(path: str | Path, image: np.ndarray, quality: int = 95) -> None:
    """Write ``(H, W, 3)`` uint8 as jpg of that quality, or as png (exact)."""
    raise NotImplementedError


def write_video(path: str | Path, frames: np.ndarray, rate: float) -> None:
    """Write ``(T, H, W, 3)`` uint8 as mp4."""
    raise NotImplementedError


def write_audio(path: str | Path, samples: np.ndarray, rate: int) -> None:
    """Write ``(S, channels)`` float32 in [-1, 1] as 16-bit wav or flac."""
    raise NotImplementedError
