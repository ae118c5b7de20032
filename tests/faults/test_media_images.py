"""Faults of images: all that a viewer shows is read as it shows it, and nothing that it hides."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from worldgpt_env.training.worldnet.format.decode import decode_image
from worldgpt_env.training.worldnet.format.gate import MediaError
from worldgpt_env.training.worldnet.format.media import read_image

PIXELS = np.stack(np.broadcast_arrays(*np.ogrid[0:240:6, 0:180:3], 90), -1).astype(np.uint8)
FILM = b"\0\0\0\x18ftypmp42" + bytes(5000) + b"\xff\xd8\xff" + bytes(range(256))
WHITE = [255, 255, 255]


def jpg(pixels: np.ndarray = PIXELS, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0, **options)
    return buffer.getvalue()


def near(found: np.ndarray, wanted: np.ndarray = PIXELS) -> bool:
    return found.shape == wanted.shape and bool(np.abs(found.astype(int) - wanted).max() <= 8)


def with_preview(data: bytes) -> bytes:
    """Return a jpg with a whole smaller one, which ends for itself, in a segment at its front."""
    preview = jpg(PIXELS[::4, ::4])
    return data[:2] + b"\xff\xe9" + struct.pack(">H", len(preview) + 2) + preview + data[2:]


def mpo() -> bytes:
    buffer = io.BytesIO()
    other = [Image.fromarray(255 - PIXELS)]
    Image.fromarray(PIXELS).save(buffer, "MPO", save_all=True, append_images=other, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("behind", [b"", b"\0" * 9, FILM, FILM * 60, jpg(255 - PIXELS), b"\xff"])
@pytest.mark.parametrize("progressive", [False, True])
def test_what_lies_behind_a_whole_jpg_does_not_matter(
    tmp_path: Path, behind: bytes, progressive: bool
) -> None:
    data = with_preview(jpg(progressive=progressive))
    (tmp_path / "a.jpg").write_bytes(data + behind)
    assert near(read_image(tmp_path, "a.jpg"))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpg_that_breaks_off_is_refused_though_its_preview_is_whole(progressive: bool) -> None:
    data = with_preview(jpg(progressive=progressive))
    for end in [*range(2, len(data), 17), len(data) - 1]:
        with pytest.raises(MediaError, match="breaks off|no whole jpg"):
            decode_image("a.jpg", data[:end])


def test_the_first_view_of_an_mpo_is_the_image() -> None:
    """Also where the second is truncated, or its index damaged."""
    data = mpo()
    first = data.index(b"\xff\xd9") + 2
    assert near(decode_image("a.jpg", data)) and near(decode_image("a.jpg", data[: first + 30]))
    damaged = data.replace(b"MPF\0II*\0", b"MPF\0IIxx").replace(b"MPF\0MM\0*", b"MPF\0MMxx")
    assert damaged != data and near(decode_image("a.jpg", damaged))
    with pytest.raises(MediaError, match="breaks off"):
        decode_image("a.jpg", data[: first - 3])


TURNED = {  # by EXIF: what the stored pixels are to be turned into
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
    8: lambda x: np.rot90(x),
    9: lambda x: x,  # is none
}


@pytest.mark.parametrize("orientation", TURNED)
def test_images_are_turned_as_their_exif_says(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    wanted = TURNED[orientation](PIXELS)
    assert near(decode_image("a.jpg", jpg(exif=exif)), wanted)
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG", exif=exif)
    assert (decode_image("a.png", buffer.getvalue()) == wanted).all()


def test_an_exif_that_cannot_be_read_turns_nothing() -> None:
    for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0"):
        assert near(decode_image("a.jpg", jpg(exif=exif)))


# png --------------------------------------------------------------------------------------------


def png(depth: int, kind: int, row: bytes, width: int, **parts: bytes) -> bytes:
    """Return a png of one row; ``kind`` is 0 grey, 2 colours, 3 palette, 4 and 6 with alpha."""

    def part(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0)
    middle = b"".join(part(name.encode(), data) for name, data in parts.items())
    pixels = part(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + middle + pixels + part(b"IEND", b"")


PALETTE = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255])


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (png(8, 6, bytes([9, 8, 7, 0, 9, 8, 7, 255]), 2), [WHITE, [9, 8, 7]]),
        (png(8, 4, bytes([9, 0, 9, 255]), 2), [WHITE, [9] * 3]),
        (png(8, 0, bytes([10, 11]), 2, tRNS=b"\0\x0a"), [WHITE, [11] * 3]),
        (png(4, 0, b"\x34", 2, tRNS=b"\0\x03"), [WHITE, [68] * 3]),
        (png(2, 0, b"\x1b", 4, tRNS=b"\0\x01"), [[0] * 3, WHITE, [170] * 3, WHITE]),
        (png(1, 0, b"\x40", 2, tRNS=b"\0\x00"), [WHITE, WHITE]),
        (png(8, 2, bytes(range(1, 7)), 2, tRNS=b"\0\1\0\2\0\3"), [WHITE, [4, 5, 6]]),
        (
            png(8, 3, bytes([0, 1, 2]), 3, PLTE=PALETTE, tRNS=bytes([0, 51])),
            [WHITE, [204, 255, 204], [0, 0, 255]],
        ),
        (png(2, 3, b"\x18", 3, PLTE=PALETTE, tRNS=b"\0"), [WHITE, [0, 255, 0], [0, 0, 255]]),
        (png(2, 3, b"\x18", 3, PLTE=PALETTE), [[255, 0, 0], [0, 255, 0], [0, 0, 255]]),
        (png(16, 0, bytes([18, 52, 255, 255]), 2), [[18] * 3, WHITE]),
        (png(16, 0, bytes([18, 52, 18, 53]), 2, tRNS=bytes([18, 52])), [WHITE, [18] * 3]),
        (png(16, 2, bytes([18, 52, 255, 0, 0, 1]), 1), [[18, 255, 0]]),
        (png(16, 4, bytes([18, 52, 0, 0, 18, 52, 255, 255]), 2), [WHITE, [18] * 3]),
        (png(16, 6, bytes([18, 52, 255, 0, 0, 1, 0, 0]), 1), [WHITE]),
    ],
)
def test_a_png_of_any_kind_hides_what_is_hidden(data: bytes, wanted: list[list[int]]) -> None:
    found = decode_image("a.png", data)[0]
    assert np.abs(found.astype(int) - wanted).max() <= 1


def test_images_that_differ_in_hidden_colours_alone_are_the_same() -> None:
    draw = np.random.default_rng(0)
    alpha = draw.integers(0, 2, (16, 16, 1)) * 255
    shown = draw.integers(0, 256, (16, 16, 3))
    found = []
    for seed in (1, 2):
        hidden = np.random.default_rng(seed).integers(0, 256, (16, 16, 3))
        pixels = np.concatenate([np.where(alpha > 0, shown, hidden), alpha], -1).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        found.append(decode_image("a.png", buffer.getvalue()))
    assert (found[0] == found[1]).all()
    assert (found[0] == np.where(alpha > 0, shown, 255)).all()


def test_a_transparent_colour_that_was_rounded_away_is_refused() -> None:
    data = png(16, 2, bytes([18, 52, 255, 0, 0, 1]), 1, tRNS=bytes([18, 52, 255, 0, 0, 1]))
    with pytest.raises(MediaError, match="one transparent colour of 16 bits, which is not read"):
        decode_image("a.png", data)


@pytest.mark.parametrize(
    ("ink", "wanted"),
    [((0, 0, 0, 0), WHITE), ((255, 0, 0, 0), [0, 255, 255]), ((0, 0, 0, 255), [0, 0, 0])],
)
def test_inks_become_colours(ink: tuple[int, int, int, int], wanted: list[int]) -> None:
    buffer = io.BytesIO()
    Image.new("CMYK", (8, 8), ink).save(buffer, "JPEG", quality=100)
    assert decode_image("a.jpg", buffer.getvalue())[3, 3].tolist() == wanted
