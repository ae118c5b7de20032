"""Structure: do the parts of a media file fill it? What breaks off, or lacks its end, is refused.

Decoders read what there is of a truncated file and say nothing. A file says itself how long it is:
in the sizes of its parts, or by a mark at its end. Each check reads those and none of the content.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import BinaryIO

from .gate import MediaError

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
SEGMENT = b"\x18\x53\x80\x67"
_MARK = re.compile(rb"\xff+([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)  # not those in the pixels
TRUNCATED = "breaks off in the middle of a part: it is truncated or damaged."


def check_png(name: str, data: bytes) -> None:
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


def check_jpeg(name: str, data: bytes) -> None:
    """Refuse a jpg without the end of its image; a film or more images may lie behind that.

    Segments are stepped over by their lengths, since the preview in one has an end of its own.
    """
    place = len(JPEG)
    while mark := _MARK.search(data, place):
        if mark[1] == b"\xd9":
            return
        place = mark.end() + struct.unpack_from(">H", data, mark.end())[0]
    raise MediaError(name, "breaks off before the end of the image.")


def check_film(name: str, file: BinaryIO, kind: str) -> None:
    """Refuse a film whose parts do not fill the file; ``kind`` is mp4, mov or matroska."""
    size = file.seek(0, 2)
    file.seek(0)
    if kind == "matroska":
        _check_elements(name, file, size)
    else:
        _check_boxes(name, file, size)


def _check_boxes(name: str, file: BinaryIO, end: int) -> None:
    """Refuse an mp4 or mov whose outermost parts do not end with the file."""
    place = 0
    while place + 8 <= end:
        file.seek(place)
        header = file.read(16)
        size, kind = struct.unpack_from(">I4s", header)
        if not kind.isascii() or not kind.decode().isprintable():
            return  # no name: what follows belongs to no film
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack_from(">Q", header, 8)
        if 0 < size < 8:
            raise MediaError(name, "has a part without a size: it is damaged.")
        place = place + size if size else end  # 0: up to the end
    if place != end:
        raise MediaError(name, TRUNCATED)


def _check_elements(name: str, file: BinaryIO, end: int) -> None:
    """Refuse a webm or mkv with a part that reaches beyond the file.

    A live recording does not know the sizes of its outer parts; the parts inside are then checked.
    """
    place = 0
    while place < end:
        file.seek(place)
        header = file.read(12)  # four bytes of name and eight of size at most
        named = 9 - header[0].bit_length()
        if named > 4:
            return  # no name: what follows belongs to no film
        if len(header) < named + 1:
            raise MediaError(name, TRUNCATED)
        sized = 9 - header[named].bit_length()
        digits = header[named : named + sized]
        if len(digits) < sized or sized > 8:
            raise MediaError(name, TRUNCATED)
        bits = 7 * sized
        size = int.from_bytes(digits) & ((1 << bits) - 1)
        known = size != (1 << bits) - 1
        place += named + sized + (size if known else 0)
        if known and header[:named] == SEGMENT:
            break  # all of the film; what follows belongs to none
    if place > end:
        raise MediaError(name, TRUNCATED)


def check_wave(name: str, file: BinaryIO) -> None:
    """Refuse a wav whose header promises more than comes; other kinds of sound pass."""
    end, place, sound = file.seek(0, 2), 12, -1
    file.seek(0)
    header = file.read(12)
    if header[:4] != b"RIFF":
        return
    promised = struct.unpack_from("<I", header, 4)[0] + 8
    if promised > end:
        raise MediaError(
            name, f"has {end} of the {promised} bytes that its header names: it is truncated."
        )
    while place + 8 <= (promised if promised > 12 else end):  # what follows belongs to no sound
        file.seek(place)
        kind, size = struct.unpack("<4sI", file.read(8))
        if kind == b"data":
            sound = size
        place += 8 + size + size % 2
        if place - size % 2 > end:
            raise MediaError(name, "has a part that is longer than the file: it is damaged.")
    if sound < 1:
        raise MediaError(name, "is a sound of zero length.")
