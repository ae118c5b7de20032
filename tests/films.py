"""Films whose pictures carry their number, in any container, with any times, sound and edits."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

HEIGHT, WIDTH, BITS = 64, 96, 8
SOUND_RATE = 48_000
CODECS = {".webm": ("libvpx-vp9", "libopus")}
PLAIN = {"libx264": {"bf": "0", "g": "250"}}  # one key frame, in the order shown


def picture(number: int) -> np.ndarray:
    """Return ``(64, 96, 3)`` uint8: the bits of ``number`` as eight bars, black or white."""
    bars = np.array([255 * (number >> bit & 1) for bit in range(BITS)], np.uint8)
    return np.broadcast_to(np.repeat(bars, WIDTH // BITS)[None, :, None], (HEIGHT, WIDTH, 3)).copy()


def number(picture: np.ndarray) -> int:
    """Return the number that a picture of any size carries."""
    middles = ((np.arange(BITS) + 0.5) * picture.shape[1] / BITS).astype(int)
    row = picture[picture.shape[0] // 2, middles, 0]
    return sum(1 << bit for bit in range(BITS) if row[bit] > 127)


def numbers(pictures: np.ndarray) -> list[int]:
    """Return the number of each of ``(n, h, w, 3)``."""
    return [number(picture) for picture in pictures]


def write_film(
    path: Path,
    seconds: Sequence[float],
    *,
    sound: np.ndarray | None = None,
    sound_from: float = 0.0,
    pictures: Sequence[np.ndarray] | None = None,
    codec: str = "",
    sound_codec: str = "",
    turned: int = 0,
    square: Fraction = Fraction(1),
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
) -> Path:
    """Write a film.

    Args:
        path: mp4, mov, mkv or webm.
        seconds: at which each picture is shown, in hundredths.
        sound: ``(S,)`` at 48 kHz, or none.
        sound_from: second at which it begins.
        pictures: ``(h, w, 3)`` each; default: their numbers.
        codec: of the picture.
        sound_codec: of the sound.
        turned: degrees counterclockwise by which a player turns it.
        square: width of a pixel by its height.
        options: of the codec.
        container: options of the container.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    chosen, heard = CODECS.get(path.suffix, ("libx264", "aac"))
    codec = codec or chosen
    film = pictures or [picture(n) for n in range(len(seconds))]
    with av.open(str(path), "w", options=container or {}) as file:
        stream: Any = file.add_stream(codec, rate=10, options=options or PLAIN.get(codec, {}))
        stream.height, stream.width, stream.pix_fmt = *film[0].shape[:2], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        stream.codec_context.sample_aspect_ratio = square
        if turned:
            stream.set_display_rotation(turned)
        audio: Any = None
        if sound is not None:
            audio = file.add_stream(sound_codec or heard, rate=SOUND_RATE, layout="mono")
        for pixels, second in zip(film, seconds, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(100 * second), Fraction(1, 100)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        if sound is not None:
            for start in range(0, len(sound), 1024):
                piece = np.ascontiguousarray(sound[None, start : start + 1024], np.float32)
                heard_now = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
                heard_now.sample_rate, heard_now.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
                heard_now.pts = round(sound_from * SOUND_RATE) + start
                file.mux(audio.encode(heard_now))
            file.mux(audio.encode())
    return path


def click(seconds: float, at: float) -> np.ndarray:
    """Return silence of that length with a tone of a tenth of a second from ``at`` on, ``(S,)``."""
    times = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    on = (times >= at) & (times < at + 0.1)
    return np.where(on, 0.5 * np.sin(2 * np.pi * 1000 * (times - at)), 0).astype(np.float32)


def flash(seconds: float, at: float) -> list[np.ndarray]:
    """Return dark pictures, ten a second, white for a tenth of a second from ``at`` on."""
    return [
        np.full((HEIGHT, WIDTH, 3), 255 if n == round(10 * at) else 0, np.uint8)
        for n in range(round(10 * seconds))
    ]


def copy_from(source: Path, target: Path, second: Fraction | int) -> Path:
    """Copy a film without encoding, from ``second`` on, as ``ffmpeg -ss SECOND -c copy`` does."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as part:
        copies = {s.index: part.add_stream_from_template(s) for s in whole.streams}
        for packet in whole.demux():
            if packet.pts is None or packet.dts is None:
                continue
            shift = int(second / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copies[packet.stream.index]
            part.mux(packet)
    return target


def set_edits(path: Path, edits: Sequence[tuple[float, float]]) -> Path:
    """Replace the edit list of the first track: ``(seconds, from)``; from -1 shows nothing."""
    data, start = bytearray(path.read_bytes()), _media_start(path)
    with av.open(str(path)) as file:
        tick = file.streams.video[0].time_base
    assert tick is not None
    rows = [
        (round(1000 * seconds), -1 if first < 0 else start + round(first / tick))
        for seconds, first in edits
    ]
    body = struct.pack(">II", 0, len(rows)) + b"".join(
        struct.pack(">IiI", *row, 1 << 16) for row in rows
    )
    inner = struct.pack(">I4s", 8 + len(body), b"elst") + body
    new = struct.pack(">I4s", 8 + len(inner), b"edts") + inner
    place = data.index(b"edts") - 4
    (old,) = struct.unpack_from(">I", data, place)
    data[place : place + old] = new
    for name in (b"moov", b"trak"):  # what they are inside of; the pictures stand before
        box = data.index(name) - 4
        (size,) = struct.unpack_from(">I", data, box)
        struct.pack_into(">I", data, box, size + len(new) - old)
    path.write_bytes(data)
    return path


def _media_start(path: Path) -> int:
    """Return the tick of the first picture in the media, which the one edit begins at."""
    data = path.read_bytes()
    return int(struct.unpack_from(">i", data, data.index(b"elst") + 16)[0])


def set_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Replace the display matrix of the first track: x' = ax + cy, y' = bx + dy."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    one = 1 << 16
    struct.pack_into(">9i", data, place, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def player_shows(path: Path) -> list[int]:
    """Return the numbers of the pictures that FFmpeg itself shows."""
    with av.open(str(path)) as file:
        return [number(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
