"""Faults of films: one clock for picture and sound, in the loader and in the makers."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import films
import numpy as np
import pytest
import soundfile
from films import click, copy_from, flash, number, numbers, set_edits, set_matrix, write_film

from worldgpt_env.training.worldnet.builders.footage import Footage
from worldgpt_env.training.worldnet.format.decode import decode_video
from worldgpt_env.training.worldnet.format.gate import MediaError, MediaLimits
from worldgpt_env.training.worldnet.format.media import read_audio, read_video, write_audio
from worldgpt_env.training.worldnet.format.video import CONTAINERS, VideoReader

TENTHS = [n / 10 for n in range(40)]
GAPS = [0, 0.1, 0.2, 0.3, 2.0, 2.1, 2.2, 2.3]  # most of the time nothing new is shown
SUFFIXES = [".mp4", ".mov", ".mkv", ".webm"]


def footage(path: Path) -> Footage:
    return Footage(path.parent, path.name)


def whole(path: Path) -> np.ndarray:
    """Return all pictures of a film of any container."""
    reader = VideoReader(path.name, lambda: path.open("rb"), CONTAINERS[path.suffix], "film")
    return reader.pictures(np.arange(len(reader.times)))


# edit lists -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("options", [None, {"bf": "3", "g": "7"}], ids=["plain", "reordered"])
def test_a_film_cut_without_encoding_shows_what_a_player_shows(
    tmp_path: Path, suffix: str, options: dict[str, str] | None
) -> None:
    """Pictures before the cut are in the file, for those after it refer to them."""
    tone = click(4, 3.5)
    path = write_film(tmp_path / f"whole{suffix}", TENTHS, sound=tone, options=options)
    cut = copy_from(path, tmp_path / f"cut{suffix}", 3)
    assert films.player_shows(cut) == list(range(30, 40))
    clip = decode_video("cut", cut.read_bytes())
    assert (numbers(clip.frames), clip.total) == (list(range(30, 40)), 10)
    assert clip.rate == pytest.approx(10)
    assert numbers(decode_video("cut", cut.read_bytes(), 5).frames) == [31, 33, 35, 37, 39]
    long = footage(cut)
    assert long.seconds == pytest.approx(1) and numbers(long.film(0, 1, 5, 96)) == [
        31, 33, 35, 37, 39,
    ]  # fmt: skip
    assert loud(long.sound(0, 1, 8000), 8000) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("edits", "shown", "parts"),
    [
        ([(1, 1)], range(10, 20), [14, 19]),  # a beginning and an end are hidden
        ([(1, 3), (1, 1)], [*range(30, 40), *range(10, 20)], [39, 19]),  # in another order
        ([(1, 0), (1, 0)], [*range(10)] * 2, [9, 9]),  # twice
        ([(0.5, -1), (1, 1)], range(10, 20), [14, 19]),  # a film that is late by itself is not
        ([(0.3, 0), (0.3, 2)], [0, 1, 2, 20, 21, 22], [2, 22]),
    ],
)
def test_edit_lists(
    tmp_path: Path, edits: list[tuple[float, float]], shown: list[int], parts: list[int]
) -> None:
    path = set_edits(write_film(tmp_path / "a.mp4", TENTHS), edits)
    assert films.player_shows(path) == list(shown)
    clip, long = read_video(tmp_path, "a.mp4"), footage(path)
    assert numbers(clip.frames) == list(shown) and clip.total == len(shown)
    assert numbers(read_video(tmp_path, "a.mp4", 2).frames) == parts
    assert long.seconds == pytest.approx(len(shown) / 10)
    assert numbers(long.film(0, long.seconds, 2, 96)) == parts


# one clock --------------------------------------------------------------------------------------


def loud(sound: np.ndarray, rate: int) -> float:
    """Return the second at which a sound begins to be heard."""
    return float(np.flatnonzero(np.abs(sound[:, 0]) > 0.1)[0] / rate)


def bright(long: Footage) -> float:
    """Return the second at which the picture becomes white."""
    film = long.film(0, long.seconds, round(long.seconds * 100), 96)
    return float(np.flatnonzero(film.mean((1, 2, 3)) > 127)[0] / 100)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("picture_from", "sound_from"), [(0, 0), (0.5, 0), (0, 0.5), (0.7, 0.3), (2, 2.5)]
)
def test_picture_and_sound_that_begin_apart_stay_together(
    tmp_path: Path, suffix: str, picture_from: float, sound_from: float
) -> None:
    """What flashes and clicks at one moment in a player does so here, seconds from the begin."""
    at = max(picture_from, sound_from) + 1.0
    path = write_film(
        tmp_path / f"a{suffix}",
        [picture_from + second for second in TENTHS],
        pictures=flash(4, at - picture_from),
        sound=click(4, at - sound_from),
        sound_from=sound_from,
    )
    long, begins = footage(path), min(picture_from, sound_from)
    assert long.seconds == pytest.approx(picture_from + 4 - begins, abs=0.03)
    seen = bright(long)
    assert seen == pytest.approx(at - begins, abs=0.03)  # AAC begins up to 0.02 s before its sound
    for rate in (8000, 48_000):
        assert loud(long.sound(0, long.seconds, rate), rate) == pytest.approx(seen, abs=0.012)
    part = long.sound(seen - 0.25, seen + 0.25, 8000)  # from the middle
    assert loud(part, 8000) == pytest.approx(0.25, abs=0.012)


def test_a_wav_beside_a_film_begins_with_it(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv", [5 + s for s in TENTHS], pictures=flash(4, 2))
    write_audio(tmp_path / "a.wav", click(4, 2)[:, None], films.SOUND_RATE)
    long = footage(path)
    assert bright(long) == pytest.approx(2, abs=0.02)
    assert loud(long.sound(0, 4, 8000), 8000) == pytest.approx(2, abs=0.005)


@pytest.mark.parametrize(("suffix", "off"), [(".mov", 0), (".mkv", films.SOUND_RATE // 2000)])
@pytest.mark.parametrize("sound_from", [0, 0.5])
def test_sound_is_right_to_the_sample(
    tmp_path: Path, suffix: str, off: int, sound_from: float
) -> None:
    """Matroska knows milliseconds, and a packet here lasts 21 and a third: no gap may come of it.

    It is then early or late as a whole, by half a millisecond at most.
    """
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * films.SOUND_RATE).astype(np.float32)
    path = write_film(
        tmp_path / f"a{suffix}", TENTHS, sound=sound, sound_from=sound_from, sound_codec="pcm_s16le"
    )
    second = films.SOUND_RATE
    for first in (0.0, 1.0, 1.5):
        heard = footage(path).sound(sound_from + first, sound_from + first + 2, second)[:, 0]
        start = round(first * second)
        errors = [
            np.abs(heard[100:-100] - sound[start + 100 + n : start + 2 * second - 100 + n]).max()
            for n in range(-off, off + 1)
        ]
        assert min(errors) < 1e-4


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_that_is_longer_than_the_picture_is_no_damage(tmp_path: Path, suffix: str) -> None:
    path = write_film(tmp_path / f"a{suffix}", TENTHS[:20], sound=click(9, 8))
    long = footage(path)
    assert long.seconds == pytest.approx(2, abs=0.01)
    signals = long.signals()
    assert signals.pictures is not None and len(signals.pictures) == 20
    assert signals.sounds is not None and len(signals.sounds) == 20
    assert numbers(long.film(0, 2, 4, 96)) == [4, 9, 14, 19]
    assert numbers(long.film(1.5, 2.5, 1, 96)) == [19]  # the last one stands
    assert loud(long.sound(7, 9, 8000), 8000) == pytest.approx(1, abs=0.005)
    assert not long.sound(20, 21, 8000).any()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("front", [False, True], ids=["index last", "index first"])
def test_a_truncated_film_is_refused_at_every_length(
    tmp_path: Path, suffix: str, front: bool
) -> None:
    container = {"movflags": "faststart"} if suffix in (".mp4", ".mov") else {"cues_to_front": "1"}
    path = write_film(
        tmp_path / f"a{suffix}", TENTHS, sound=click(4, 1), container=container if front else None
    )
    data, half = path.read_bytes(), tmp_path / f"half{suffix}"
    for end in [*range(1, len(data), len(data) // 25), len(data) - 1]:
        half.write_bytes(data[:end])
        with pytest.raises(MediaError, match="breaks off|no whole recording"):
            footage(half)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "behind", [b"\xff" * 99, b"\x00" * 20, np.random.default_rng(0).bytes(500)]
)
def test_what_lies_behind_a_whole_film_does_not_matter(
    tmp_path: Path, suffix: str, behind: bytes
) -> None:
    path = write_film(tmp_path / f"a{suffix}", TENTHS, sound=click(4, 1))
    path.write_bytes(path.read_bytes() + behind)
    assert numbers(footage(path).film(0, 4, 4, 96)) == [9, 19, 29, 39]


def test_what_lies_behind_a_whole_wav_does_not_matter(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", click(1, 0.5)[:, None], films.SOUND_RATE)
    whole = read_audio(tmp_path, "a.wav").samples
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data + b"ID3\x03" + b"\xff" * 99)
    assert (read_audio(tmp_path, "a.wav").samples == whole).all()


def test_a_truncated_live_film_is_refused(tmp_path: Path) -> None:
    """It does not know how long it will be; each part inside does."""
    path = write_film(tmp_path / "a.mkv", TENTHS, sound=click(4, 1), container={"live": "1"})
    long = footage(path)
    assert long.seconds == pytest.approx(4) and numbers(long.film(2, 3, 2, 96)) == [24, 29]
    assert loud(long.sound(0.8, 2, 8000), 8000) == pytest.approx(0.2, abs=0.005)
    assert not long.sound(2, 3, 8000).any()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MediaError, match="breaks off"):
        footage(path)


def test_a_truncated_wav_beside_a_film_is_refused(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", TENTHS)
    write_audio(tmp_path / "a.wav", click(4, 1)[:, None], films.SOUND_RATE)
    beside = tmp_path / "a.wav"
    beside.write_bytes(beside.read_bytes()[:-1000])
    with pytest.raises(MediaError, match="a.wav: has .* it is truncated"):
        footage(path)


# upright ----------------------------------------------------------------------------------------

CORNERED = np.zeros((32, 64, 3), np.uint8)
CORNERED[:8, :8] = 255  # upper left
CORNERED[-8:, :8, 0] = 255  # lower left is red

MATRICES = {  # where upper left and lower left are to be seen
    "as it is": ((1, 0, 0, 1), (0, 0), (1, 0)),
    "mirrored": ((-1, 0, 0, 1), (0, 1), (1, 1)),
    "upside down": ((1, 0, 0, -1), (1, 0), (0, 0)),
    "turned half": ((-1, 0, 0, -1), (1, 1), (0, 1)),
    "turned right": ((0, 1, -1, 0), (0, 1), (0, 0)),
    "turned left": ((0, -1, 1, 0), (1, 0), (1, 1)),
    "flipped over": ((0, 1, 1, 0), (0, 0), (0, 1)),
    "flipped back": ((0, -1, -1, 0), (1, 1), (1, 0)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_films_are_turned_and_mirrored_alike(tmp_path: Path, name: str) -> None:
    matrix, white, red = MATRICES[name]
    path = set_matrix(write_film(tmp_path / "a.mp4", TENTHS[:3], pictures=[CORNERED] * 3), *matrix)
    shape = (64, 32) if matrix[0] == 0 else (32, 64)
    small = (32, 16) if matrix[0] == 0 else (16, 32)
    for film, size in (
        (read_video(tmp_path, "a.mp4").frames, shape),
        (footage(path).film(0, 0.3, 2, 99), shape),
        (footage(path).film(0, 0.3, 2, 32), small),
    ):
        assert film.shape[1:3] == size
        corners = {(y, x): tuple((film[0, -y, -x] > 127).tolist()) for y in (0, 1) for x in (0, 1)}
        assert corners[white] == (True, True, True) and corners[red] == (True, False, False)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_portrait_film_keeps_its_proportions(tmp_path: Path, suffix: str) -> None:
    path = write_film(tmp_path / f"a{suffix}", TENTHS[:3], pictures=[CORNERED] * 3, turned=-90)
    film = footage(path).film(0, 0.3, 1, 32)[0]
    assert film.shape == (32, 16, 3)
    white = np.argwhere(film.min(2) > 127)
    assert np.ptp(white, 0).tolist() == [3, 3]  # a square stays one
    assert number(whole(path)[0]) != -1 and whole(path).shape == (3, 64, 32, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pixels_that_are_no_squares_become_squares(tmp_path: Path, suffix: str) -> None:
    path = write_film(tmp_path / f"a{suffix}", TENTHS, square=Fraction(4, 3))
    assert footage(path).film(0, 4, 2, 512).shape == (2, 64, 128, 3)
    assert footage(path).film(0, 4, 2, 64).shape == (2, 32, 64, 3)
    assert numbers(whole(path)) == list(range(40))
    if suffix == ".mp4":
        assert read_video(tmp_path, "a.mp4", 2).frames.shape == (2, 64, 128, 3)


# any rate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("options", [None, {"bf": "3"}], ids=["plain", "reordered"])
def test_equal_parts_are_of_time(
    tmp_path: Path, suffix: str, options: dict[str, str] | None
) -> None:
    """Of 2.4 seconds; a third picture in the list is not a third of the time."""
    path = write_film(tmp_path / f"a{suffix}", GAPS, options=None if suffix == ".webm" else options)
    long = footage(path)
    assert long.seconds == pytest.approx(2.4) and long.rate == pytest.approx(8 / 2.4)
    for parts, wanted in ((2, [3, 7]), (4, [3, 3, 3, 7]), (12, [1, *[3] * 9, 5, 7])):
        assert numbers(long.film(0, long.seconds, parts, 96)) == wanted
        if suffix == ".mp4":
            clip = read_video(tmp_path, "a.mp4", parts)
            assert numbers(clip.frames) == wanted and clip.total == 8
            assert clip.rate == pytest.approx(8 / 2.4)
    assert numbers(long.film(0.1, 0.1, 1, 96)) == [1]  # no time: what is seen then
    assert numbers(long.film(0.0, 0.1, 1, 96)) == [0]  # just before
    assert numbers(long.film(1.9, 2.1, 2, 96)) == [3, 4]


def test_one_picture_shown_for_long(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", [0, 0.1, 9.0])
    assert numbers(read_video(tmp_path, "a.mp4", 3).frames) == [1, 1, 2]
    assert numbers(read_video(tmp_path, "a.mp4").frames) == [0, 1, 2]
    assert numbers(footage(path).film(0, 9.0, 3, 96)) == [1, 1, 1]
    single = write_film(tmp_path / "b.mp4", [0])
    assert numbers(read_video(tmp_path, "b.mp4", 4).frames) == [0] * 4
    assert footage(single).seconds == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        (".mp4", "libx264", {"g": "7"}),
        (".mkv", "libx264", {"x264-params": "keyint=12:min-keyint=12:open-gop=1:bframes=3"}),
        (".webm", "libvpx-vp9", {"g": "7"}),
        (".webm", "libvpx", {"g": "30", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    ],
    ids=["closed groups", "open groups", "vp9", "vp8 with invisible pictures"],
)
def test_any_part_is_what_it_is_in_the_whole(
    tmp_path: Path, suffix: str, codec: str, options: dict[str, str]
) -> None:
    seconds = [n / 10 for n in range(90)]
    path = write_film(tmp_path / f"a{suffix}", seconds, codec=codec, options=options)
    pictures, long = whole(path), footage(path)
    assert numbers(pictures) == list(range(90)) and long.seconds == pytest.approx(9)
    for first in range(0, 88, 5):
        part = long.film(first / 10, (first + 2) / 10, 2, 96)
        assert numbers(part) == [first, first + 1]


def test_a_damaged_film_is_refused_and_never_guessed(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", TENTHS, pictures=noise(40))
    draw, data = np.random.default_rng(0), path.read_bytes()
    for _ in range(40):
        bad = bytearray(data)
        place = int(draw.integers(200, len(data) - 2000))
        bad[place : place + 40] = draw.bytes(40)
        try:
            clip = decode_video("a.mp4", bytes(bad))
        except MediaError:
            continue
        assert clip.frames.shape == (40, films.HEIGHT, films.WIDTH, 3)


def noise(count: int) -> list[np.ndarray]:
    draw = np.random.default_rng(1)
    return [
        draw.integers(0, 256, (films.HEIGHT, films.WIDTH, 3)).astype(np.uint8) for _ in range(count)
    ]


def test_the_limits_hold_for_what_is_shown(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", GAPS)
    data = path.read_bytes()
    assert decode_video("a", data, 9, MediaLimits(unpacked_bytes=6 * 64 * 96 * 3)).total == 8
    for limits, reason in (
        (MediaLimits(frames=7), "over 7 frames"),
        (MediaLimits(seconds=2.3), "lasts 2 s"),
        (MediaLimits(unpacked_bytes=64 * 96 * 3), "unpacks to over"),
    ):
        with pytest.raises(MediaError, match=reason):
            decode_video("a", data, 9, limits)


def test_a_film_without_picture_is_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(100), 8000, format="WAV")
    (tmp_path / "a.mkv").write_bytes(buffer.getvalue())
    with pytest.raises(MediaError, match="a.mkv: is no whole recording"):
        Footage(tmp_path, "a.mkv")
