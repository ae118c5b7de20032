"""Media: read with limits inside one root; what is damaged is refused.

What no check of a single file can find, because the format has no checksum: changed bytes inside
the pixels of a jpg, the frames of an mp4, the samples of a wav, and the sizes that their headers
give when they still fit. The hashes of a sealed folder find every one of them
(``test_training_worldnet_folder.py``). Truncation, at every length, is always found here; in png
and flac, which have checksums, so is every changed bit.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.training.worldnet.format import media
from worldgpt_env.training.worldnet.format.decode import decode_video, spread
from worldgpt_env.training.worldnet.format.media import MediaError, MediaLimits

PIXELS = np.stack(np.broadcast_arrays(*np.ogrid[0:128:4, 0:96:2], 77), -1).astype(np.uint8)
FRAMES = np.stack([np.roll(PIXELS, shift, 0) for shift in range(0, 18, 2)])  # (9, 32, 48, 3)
TONE = np.round(np.sin(np.arange(800) / 9)[:, None] * 2**14).astype(np.float32) / 2**15
NAMES = ("a.jpg", "a.png", "a.mp4", "a.wav", "a.flac")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One whole file of each kind."""
    root = tmp_path_factory.mktemp("files")
    for name in ("a.jpg", "a.png"):
        media.write_image(root / name, PIXELS)
    media.write_video(root / "a.mp4", FRAMES, 12.0)
    for name in ("a.wav", "a.flac"):
        media.write_audio(root / name, TONE, 8000)
    assert sorted(path.name for path in root.iterdir()) == sorted(NAMES)
    return {name: (root / name).read_bytes() for name in NAMES}


def reader(name: str) -> Callable[..., Any]:
    """Return what reads the kind of ``name`` as one array."""

    def read(root: Path, name: str, limits: MediaLimits = media.LIMITS) -> np.ndarray:
        if name.endswith(("jpg", "png")):
            return media.read_image(root, name, limits)
        if name.endswith("mp4"):
            return media.read_video(root, name, limits=limits).frames
        return media.read_audio(root, name, limits=limits).samples

    return read


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    return float(np.abs(found.astype(float) - wanted).max())


def test_what_is_written_is_read_again(tmp_path: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert difference(media.read_image(tmp_path, "a.png"), PIXELS) == 0
    assert difference(media.read_image(tmp_path, "a.jpg"), PIXELS) <= 6
    clip = media.read_video(tmp_path, "a.mp4")
    assert (clip.rate, clip.total) == (12.0, 9)
    assert difference(clip.frames, FRAMES) <= 12
    for name in ("a.wav", "a.flac"):
        sound = media.read_audio(tmp_path, name, rate=8000)
        assert sound.rate == 8000
        assert difference(sound.samples, TONE) == 0


def test_a_video_of_crf_0_is_exact_and_odd_sizes_work(tmp_path: Path) -> None:
    media.write_video(tmp_path / "a.mp4", FRAMES[:, :17, :33], 29.97, crf=0)
    clip = media.read_video(tmp_path, "a.mp4")
    assert difference(clip.frames, FRAMES[:, :17, :33]) == 0
    assert clip.rate == pytest.approx(29.97, abs=1e-3)


def test_frames_are_spread_evenly_newest_last(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "a.mp4").write_bytes(files["a.mp4"])
    whole = media.read_video(tmp_path, "a.mp4").frames
    assert difference(media.read_video(tmp_path, "a.mp4", 3).frames, whole[[2, 5, 8]]) == 0
    assert spread(16, 4) == [3, 7, 11, 15]
    assert spread(4, 4) == [0, 1, 2, 3]
    assert spread(2, 4) == [0, 0, 1, 1]
    assert spread(1, 3) == [0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_file_is_refused_at_every_length(
    tmp_path: Path, files: dict[str, bytes], name: str
) -> None:
    data, read = files[name], reader(name)
    for end in {0, 1, len(data) - 1, len(data) - 2, *range(0, len(data), len(data) // 60)}:
        (tmp_path / name).write_bytes(data[:end])
        with pytest.raises(MediaError) as caught:
            read(tmp_path, name)
        assert caught.value.file == name and caught.value.reason


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_is_an_error_or_a_file_of_the_same_kind(
    tmp_path: Path, files: dict[str, bytes], name: str
) -> None:
    """Nothing but a MediaError comes out; formats with checksums change nothing silently."""
    draw, data, read = np.random.default_rng(3), files[name], reader(name)
    (tmp_path / name).write_bytes(data)
    whole, silent = read(tmp_path, name), 0
    for _ in range(120):
        changed = bytearray(data)
        changed[draw.integers(len(data))] ^= 1 << int(draw.integers(8))
        (tmp_path / name).write_bytes(changed)
        try:
            found = read(tmp_path, name)
        except MediaError:
            continue
        silent += found.shape != whole.shape or bool((found != whole).any())
    if name in ("a.png", "a.flac"):
        assert silent == 0


@pytest.mark.parametrize("name", NAMES)
def test_noise_and_another_kind_are_refused(
    tmp_path: Path, files: dict[str, bytes], name: str
) -> None:
    pictures = {"a.jpg", "a.png"}
    sounds = {"a.wav", "a.flac"}
    own = next((kind for kind in (pictures, sounds) if name in kind), {name})
    for other in [np.random.default_rng(0).bytes(999), *(files[n] for n in files if n not in own)]:
        (tmp_path / name).write_bytes(other)
        with pytest.raises(MediaError):
            reader(name)(tmp_path, name)


def outside(tmp_path: Path, files: dict[str, bytes]) -> Path:
    """Put a file beside an empty root, return the root."""
    (tmp_path / "secret.jpg").write_bytes(files["a.jpg"])
    (tmp_path / "root" / "image").mkdir(parents=True)
    return tmp_path / "root"


@pytest.mark.parametrize("form", ["dots", "absolute", "link", "linked folder"])
def test_a_path_that_leads_outside_the_root_is_not_opened(
    tmp_path: Path, files: dict[str, bytes], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = outside(tmp_path, files)
    name = {
        "dots": "image/../../secret.jpg",
        "absolute": str(tmp_path / "secret.jpg"),
        "link": "image/a.jpg",
        "linked folder": "linked/secret.jpg",
    }[form]
    (root / "image" / "a.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "linked").symlink_to(tmp_path)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a file was opened"))
    with pytest.raises(MediaError, match="leads outside the root"):
        media.read_image(root, name)


def test_other_paths_that_are_no_file(tmp_path: Path, files: dict[str, bytes]) -> None:
    root = outside(tmp_path, files)
    (root / "circle.jpg").symlink_to(root / "circle.jpg")
    os.mkfifo(root / "pipe.jpg")
    (root / "a.jpg").write_bytes(files["a.jpg"])
    for name in ("", ".", "image", "none.jpg", "circle.jpg", "pipe.jpg", "a\0.jpg", "x" * 5000):
        with pytest.raises(MediaError):
            media.read_image(root, name)
    with pytest.raises(MediaError, match="is an absolute path"):
        media.read_image(root, str(root / "a.jpg"))
    (root / "inside.jpg").symlink_to(root / "a.jpg")
    assert media.read_image(root, "image/../inside.jpg").shape == PIXELS.shape


def png(width: int, height: int) -> bytes:
    """Return a png whose header promises ``width`` x ``height`` pixels of zeros."""

    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = part(b"IHDR", header) + part(b"IDAT", zlib.compress(bytes(1000))) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("size", [(20_000, 20_000), (2**31 - 1, 1), (9000, 9000)])
def test_an_image_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, size: tuple[int, int], recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "a.png").write_bytes(png(*size))
    with pytest.raises(MediaError, match="the limit is|no whole jpg or png"):
        media.read_image(tmp_path, "a.png")
    assert not recwarn


def test_the_limits_of_a_video(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "a.mp4").write_bytes(files["a.mp4"])
    for limits, reason in (
        (MediaLimits(pixels=1000), "48x32 pixels and the limit is 1000"),
        (MediaLimits(frames=8), "over 8 frames"),
        (MediaLimits(seconds=0.5), "lasts 1 s"),
        (MediaLimits(file_bytes=100), "over 100 bytes"),
        (MediaLimits(unpacked_bytes=10_000), "unpacks to over 10000 bytes"),
    ):
        with pytest.raises(MediaError, match=reason):
            media.read_video(tmp_path, "a.mp4", limits=limits)


def test_a_clip_without_frames_or_without_video(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    (tmp_path / "a.mp4").write_bytes(buffer.getvalue())
    with pytest.raises(MediaError, match="holds no video"):
        media.read_video(tmp_path, "a.mp4")
    with pytest.raises(ConfigurationError, match=r"uint8 \(0, 16, 16, 3\)"):
        media.write_video(tmp_path / "b.mp4", np.zeros((0, 16, 16, 3), np.uint8), 8)


def clip(turned: int = 0, **options: str) -> bytes:
    """Return seven frames with a white upper left corner."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv444p"
        if turned:
            stream.set_display_rotation(turned)
        pixels = np.zeros((32, 48, 3), np.uint8)
        pixels[:8, :8] = 255
        for _ in range(7):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def test_a_clip_is_turned_upright() -> None:
    corners = {}
    for turned in (0, 90, -90, 180):
        frame = decode_video("a", clip(turned)).frames[0]
        corners[turned] = [int(frame[y, x, 0]) > 128 for y in (0, -1) for x in (0, -1)].index(True)
    assert corners == {0: 0, 90: 2, -90: 1, 180: 3}


def test_a_clip_whose_header_does_not_count_is_counted() -> None:
    found = decode_video("a", clip(movflags="frag_keyframe+empty_moov"), 4)
    assert found.total == 7 and found.frames.shape == (4, 32, 48, 3)


def test_a_wav_that_is_halved_is_refused_though_libsndfile_reads_it(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    half = files["a.wav"][: len(files["a.wav"]) // 2]
    assert soundfile.info(io.BytesIO(half)).frames > 0
    (tmp_path / "a.wav").write_bytes(half)
    with pytest.raises(MediaError, match="bytes that its header names: it is truncated"):
        media.read_audio(tmp_path, "a.wav")


def wav(samples: np.ndarray, rate: int = 8000, kind: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, "FLOAT" if kind == "WAV" else "PCM_16", format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (wav(np.zeros((0, 1), np.float32)), "zero length"),
        (wav(np.full((9, 1), np.nan, np.float32)), "outside"),
        (wav(np.full((9, 1), 1.5, np.float32)), r"outside \[-1, 1\] \(up to 1.5\)"),
        (wav(np.zeros((9, 9), np.float32)), "9 channels"),
        (wav(np.zeros((9, 1), np.float32), 200_000), "200000 Hz"),
        (wav(np.zeros((9, 1), np.float32), kind="AIFF"), "is AIFF"),
        (wav(np.zeros((6001, 1), np.float32), 10), "lasts 600 s"),
        (wav(np.zeros((9, 1), np.float32), 16_000), "16000 samples a second, not the 8000"),
    ],
)
def test_sounds_that_are_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(MediaError, match=reason):
        media.read_audio(tmp_path, "a.wav", rate=8000)


@pytest.mark.parametrize(
    ("write", "arguments"),
    [
        (media.write_image, (PIXELS.astype(float),)),
        (media.write_image, (PIXELS[..., :2],)),
        (media.write_image, (PIXELS, 0)),
        (media.write_video, (FRAMES, 0.0)),
        (media.write_video, (FRAMES, 8.0, 99)),
        (media.write_video, (PIXELS, 8.0)),
        (media.write_audio, (TONE[:, 0], 8000)),
        (media.write_audio, (TONE * 9, 8000)),
        (media.write_audio, (TONE * np.nan, 8000)),
        (media.write_audio, (TONE, 0)),
    ],
)
def test_what_does_not_fit_is_not_written(
    tmp_path: Path, write: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    kind = write.__name__.removeprefix("write_")
    path = tmp_path / f"a{media.FORMATS[kind][0]}"
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write(path, *arguments)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write(
            tmp_path / "a.exe", *{"image": (PIXELS,), "video": (FRAMES, 8.0)}.get(kind, (TONE, 8))
        )
    assert not list(tmp_path.iterdir())


def test_images_of_other_kinds(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "grey.png")
    assert media.read_image(tmp_path, "grey.png").shape == PIXELS.shape
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 200).save(tmp_path / "deep.png")
    deep = (PIXELS[..., :1].astype(int) * 200 // 256).astype(np.uint8)  # the upper 8 of 16 bits
    assert difference(media.read_image(tmp_path, "deep.png"), np.repeat(deep, 3, 2)) == 0
    Image.fromarray(PIXELS).save(tmp_path / "a.gif")
    with pytest.raises(MediaError, match="no whole jpg or png"):
        media.read_image(tmp_path, "a.gif")


def test_limits_let_something_through() -> None:
    with pytest.raises(ConfigurationError, match="the limit frames is 0"):
        MediaLimits(frames=0)
