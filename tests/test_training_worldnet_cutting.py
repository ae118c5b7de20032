"""Cutting: boundaries are found where recordings change, and not elsewhere; sound is resampled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_recordings import KINDS, make_stream

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.training.worldnet.builders.cutting import (
    Boundary,
    Change,
    CutConfig,
    find_boundaries,
)
from worldgpt_env.training.worldnet.builders.footage import Footage
from worldgpt_env.training.worldnet.format.gate import MediaError
from worldgpt_env.training.worldnet.format.sound import resample, to_mono

NEAR = 0.3  # seconds


def f1(found: list[Boundary], cuts: list[tuple[float, str]]) -> float:
    """Return the F1 of boundaries that are near a cut which no other was near."""
    free, hits = [second for second, _ in cuts], 0
    for boundary in found:
        near = [second for second in free if abs(second - boundary.second) <= NEAR]
        if near:
            free.remove(min(near, key=lambda second: abs(second - boundary.second)))
            hits += 1
    return 2 * hits / (len(found) + len(cuts))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.mark.parametrize("kinds", [KINDS, *((kind,) for kind in KINDS)])
def test_known_cuts_are_found(folder: Path, kinds: tuple[str, ...]) -> None:
    scores = []
    for seed in range(3):
        stream, name = make_stream(seed, kinds=kinds), f"{'-'.join(kinds)}-{seed}.mp4"
        stream.write(folder / name)
        scores.append(f1(find_boundaries(Footage(folder, name).signals()), stream.cuts))
    assert np.mean(scores) >= 0.8 and min(scores) >= 0.7, scores


def test_a_recording_that_does_not_change_is_not_cut(folder: Path) -> None:
    make_stream(0, seconds=10, cuts=False).write(folder / "still.mp4")
    assert find_boundaries(Footage(folder, "still.mp4").signals()) == []


def test_only_the_kinds_asked_for_are_found(folder: Path) -> None:
    make_stream(7).write(folder / "mixed.mp4")
    signals = Footage(folder, "mixed.mp4").signals()
    found = find_boundaries(signals, CutConfig(changes=(Change.SOUND,)))
    assert found and {boundary.change for boundary in found} == {Change.SOUND}
    everything = find_boundaries(signals)
    gaps = np.diff([boundary.second for boundary in everything])
    assert (gaps >= CutConfig().gap).all() and all(b.strength >= 1 for b in everything)


@pytest.mark.parametrize("wrong", [{"changes": ("smell",)}, {"changes": ()}, {"shot": 0.0}])
def test_impossible_cuts_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigurationError):
        CutConfig(**wrong)


def test_film_and_sound_of_a_part_are_those_of_the_recording(folder: Path) -> None:
    stream = make_stream(5, seconds=12)
    stream.write(folder / "part.mp4")
    footage = Footage(folder, "part.mp4")
    assert footage.seconds == pytest.approx(12) and footage.rate == 10 and footage.sounds
    film = footage.film(6.0, 7.0, 5, 64)  # frames of 6.2, 6.4, ... and 7.0, seen just before
    wanted = stream.frames[[61, 63, 65, 67, 69]].astype(int)
    assert np.abs(film.astype(int) - wanted).mean() < 4
    heard = footage.sound(6.0, 7.0, 8000)
    assert np.abs(heard - stream.sound[48000:56000]).max() < 1e-3
    assert footage.film(0, 1, 2, 32).shape == (2, 24, 32, 3)
    assert not footage.sound(-1, -0.5, 8000).any()


@pytest.mark.parametrize("rates", [(30720, 8192), (11025, 8192), (8192, 16000)])
def test_resampling_keeps_tones_and_leaves_no_echo(rates: tuple[int, int]) -> None:
    rate, wanted = rates
    times = np.arange(2 * rate) / rate
    low = resample((0.5 * np.sin(2 * np.pi * 440 * times))[:, None].astype(np.float32), *rates)
    assert low.shape == (2 * wanted, 1) and low.dtype == np.float32
    ideal = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * wanted) / wanted)
    assert np.abs(low[500:-500, 0] - ideal[500:-500]).max() < 1e-4
    if wanted < rate:
        high = 0.5 * np.sin(2 * np.pi * 5000 * times)[:, None].astype(np.float32)
        assert np.abs(resample(high, *rates)[500:-500]).max() < 1e-3


def test_resampling_stereo_and_mixing() -> None:
    stereo = np.stack([np.full(1000, 0.5), np.full(1000, -0.25)], 1).astype(np.float32)
    assert resample(stereo, 1000, 500).shape == (500, 2)
    assert np.allclose(to_mono(stereo), 0.125)
    with pytest.raises(ConfigurationError, match="one or two channels"):
        resample(np.zeros((10, 3), np.float32), 10, 20)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing of the kind")
    (tmp_path / "b.txt").write_text("words")
    outside = tmp_path.parent / "outside.mp4"
    outside.write_bytes(b"")
    for name, reason in (
        ("a.mp4", "no whole recording"), ("b.txt", "no recording"), ("c.mp4", "is no file"),
        ("../outside.mp4", "leads outside the root"),
    ):  # fmt: skip
        with pytest.raises(MediaError, match=reason):
            Footage(tmp_path, name)


def test_a_recording_that_breaks_off_is_refused(tmp_path: Path) -> None:
    make_stream(1, seconds=12).write(tmp_path / "whole.mp4")
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match="no whole recording|breaks off"):
        Footage(tmp_path, "half.mp4").signals()
