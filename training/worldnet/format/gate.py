"""The gate of all media: what may be opened, how much of it, and the error that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worldgpt_env.model.errors import ConfigurationError, WorldGPTError


class MediaError(WorldGPTError, ValueError):
    """A media file is missing, damaged, too big, or not where it may be.

    Attributes:
        file: its name as the annotation has it.
        reason: what is wrong with it.
    """

    def __init__(self, file: str | Path, reason: str) -> None:
        """Say ``reason`` about ``file``."""
        super().__init__(f"{str(file)[:300]}: {reason}")
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
        unpacked_bytes: of all that is decoded from one file.
    """

    file_bytes: int = 2**28
    pixels: int = 2**25
    frames: int = 20_000
    seconds: float = 600.0
    rate: int = 192_000
    channels: int = 8
    unpacked_bytes: int = 2**30

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through."""
        for name, value in vars(self).items():
            if value <= 0:
                raise ConfigurationError(f"the limit {name} is {value}; give a number above 0.")


LIMITS = MediaLimits()


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
    if not path.is_relative_to(base):
        raise MediaError(name, f"leads outside the root {root}; it was not opened.")
    if Path(name).is_absolute():
        raise MediaError(name, "is an absolute path; write it relative to the root.")
    try:
        there = path.is_file()
    except OSError as error:
        raise MediaError(name, f"cannot be found ({error.strerror}).") from error
    if not there:
        raise MediaError(name, f"is no file in {root}.")
    return path


def read_bytes(root: str | Path, name: str, limits: MediaLimits = LIMITS) -> bytes:
    """Return the bytes of the file ``name`` inside ``root``.

    Raises:
        MediaError: it leads outside the root, is not there, empty, or over the limit.
    """
    path = resolve(root, name)
    try:
        with path.open("rb") as file:
            data = file.read(limits.file_bytes + 1)
    except OSError as error:
        raise MediaError(name, f"cannot be read ({error.strerror}).") from error
    if not data:
        raise MediaError(name, "has no bytes.")
    if len(data) > limits.file_bytes:
        raise MediaError(name, f"has over {limits.file_bytes} bytes, the limit.")
    return data


@contextmanager
def decoding(name: str, kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a MediaError about ``name``, which is no whole ``kind``.

    A decoder may raise anything on bytes that were made to break it.
    """
    try:
        yield
    except MediaError:
        raise
    except Exception as error:
        told = str(error) or type(error).__name__
        raise MediaError(name, f"is no whole {kind} ({told}).") from error


def check_pixels(name: str, width: int, height: int, limits: MediaLimits) -> None:
    """Refuse pictures of nothing and of bombs.

    Raises:
        MediaError: there are no pixels, or over the limit.
    """
    if width < 1 or height < 1:
        raise MediaError(name, f"is {width}x{height} pixels.")
    if width * height > limits.pixels:
        raise MediaError(
            name, f"is {width}x{height} pixels and the limit is {limits.pixels}: it was not opened."
        )
