"""Metrics of predicted states: values computed by hand, and the cases without an answer."""

import math

import numpy as np
import pytest
import torch

from worldgpt_env.model.modalities import AudioSpec, ImageSpec, TextSpec, VectorSpec, VideoSpec
from worldgpt_env.training.worldnet.judging.metrics import (
    average,
    cosine,
    picture_figures,
    raw_figures,
    retrieval,
    skill,
    ssim_map,
)


def test_cosine_of_rows_and_of_nothing() -> None:
    guess = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    truth = torch.tensor([[6.0, 8.0], [0.0, 2.0], [0.0, 0.0], [1.0, 0.0]])
    assert cosine(guess, truth).tolist() == pytest.approx([1.0, 0.0, 1.0, 0.0])


def test_skill_is_the_share_of_what_the_baseline_lacks() -> None:
    values = skill(np.array([0.9, 0.8, 0.7, 1.0]), np.array([0.8, 0.8, 0.8, 1.0]))
    assert values[:3] == pytest.approx([0.5, 0.0, -0.5])
    assert math.isnan(values[3])  # copying is perfect: nothing to gain


def test_retrieval_counts_the_true_state_and_shares_ties() -> None:
    candidates = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]]]).expand(4, 3, 2).clone()
    candidates[2, 1] = candidates[2, 0]  # the true one twice
    guess = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    there = torch.ones(4, 3, dtype=torch.bool)
    there[3, 1:] = False  # no other candidate
    assert retrieval(guess, candidates, there).tolist() == [1.0, 0.0, 0.5, 1.0]


def by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """Return the structural similarity of two 11x11 grey windows, by the formula."""
    place = np.arange(11) - 5
    weight = np.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    mx, my = (weight * x).sum(), (weight * y).sum()
    vx, vy = (weight * (x - mx) ** 2).sum(), (weight * (y - my) ** 2).sum()
    both = (weight * (x - mx) * (y - my)).sum()
    c1, c2 = 6.5025, 58.5225
    return float((2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))


def test_ssim_is_the_published_formula() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 256, (2, 1, 24, 32, 3), dtype=np.uint8)
    assert ssim_map(x, x) == pytest.approx(1.0, abs=1e-4)
    grey = [part[0].astype(np.float64).mean(-1) for part in (x, y)]
    for row, column in ((12, 16), (5, 5), (18, 26)):
        window = np.s_[row - 5 : row + 6, column - 5 : column + 6]
        want = by_hand(grey[0][window], grey[1][window])
        assert ssim_map(x, y)[0, row, column] == pytest.approx(want, abs=1e-4)
    flat = [np.full((1, 16, 16, 3), value, np.uint8) for value in (100, 200)]
    want = (2 * 100 * 200 + 6.5025) / (100**2 + 200**2 + 6.5025)
    assert ssim_map(*flat) == pytest.approx(want, abs=1e-4)


def test_pictures_are_judged_where_something_changed() -> None:
    before = np.zeros((2, 16, 16, 3), np.uint8)
    real = before.copy()
    real[0, :4, :4] = 100  # 16 pixels of the first row change, none of the second
    guess = real.copy()
    guess[:, 8:] = 255  # an error where nothing changed is not counted
    figures = picture_figures(guess, real, before)
    assert figures["PSNR (dB)"].tolist() == [[0.0, 16.0], [0.0, 0.0]]
    assert average("PSNR (dB)", figures["PSNR (dB)"]) == math.inf
    assert average("PSNR (dB)", figures["PSNR (dB)"][1:]) is None
    copied = picture_figures(before, real, before)
    assert average("PSNR (dB)", copied["PSNR (dB)"]) == pytest.approx(20 * math.log10(255 / 100))
    similar = average("SSIM", copied["SSIM"])
    assert similar is not None and similar < 0.2


def test_clips_are_compared_frame_by_frame() -> None:
    before = np.zeros((3, 2, 16, 16, 3), np.uint8)
    real = before.copy()
    real[1, 0, 0, 0] = 50
    figures = raw_figures(VideoSpec(2, 16, 16))(before, real, before)
    assert figures["PSNR (dB)"].tolist() == [[0.0, 0.0], [2500.0, 1.0], [0.0, 0.0]]
    assert raw_figures(ImageSpec(16, 16)) is picture_figures


def test_sounds_are_compared_in_decibels() -> None:
    spec = AudioSpec(1024, 1, 8000)
    noise = np.random.default_rng(0).standard_normal((2, 1024, 1)).astype(np.float32) * 0.1
    figures = raw_figures(spec)
    same = figures(noise, noise, noise)["log-mel error (dB)"]
    assert average("log-mel error (dB)", same) == 0.0
    louder = figures(noise * 2, noise, noise)["log-mel error (dB)"]
    assert average("log-mel error (dB)", louder) == pytest.approx(20 * math.log10(2), abs=0.05)


def test_words_and_numbers() -> None:
    spec = TextSpec.of(["a", "b"], 3)
    real, guess, before = np.array([[2, 3, 0]]), np.array([[2, 2, 0]]), np.array([[3, 3, 0]])
    figures = raw_figures(spec)(guess, real, before)
    assert figures["words right"].tolist() == [[1.0, 2.0]]  # empty slots are not words
    assert figures["words right, changed"].tolist() == [[1.0, 1.0]]
    numbers = VectorSpec(("x", "y"), (0.0, -10.0), (1.0, 10.0))
    error = raw_figures(numbers)(np.array([[0.5, 0.0]]), np.array([[0.0, 10.0]]), np.zeros((1, 2)))
    assert average("number error", error["number error"]) == pytest.approx(0.5)
