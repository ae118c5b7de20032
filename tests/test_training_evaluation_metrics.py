"""Metrics of predicted states: values computed by hand, and the cases without an answer."""

import math

import numpy as np
import pytest
import torch

from worldgpt_env.model.modalities import AudioSpec, ImageSpec, TextSpec, VectorSpec, VideoSpec
from worldgpt_env.training.evaluation.metrics import (
    average,
    balance,
    cosine,
    f1,
    foreground_error,
    frame_errors,
    loudness,
    observation_metrics,
    onsets,
    picture_metrics,
    psnr,
    ranking,
    retrieval,
    reward_score,
    share,
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
    found = picture_metrics(guess, real, before)
    assert found["PSNR (dB)"].tolist() == [[0.0, 16.0], [0.0, 0.0]]
    assert average("PSNR (dB)", found["PSNR (dB)"]) == math.inf
    assert average("PSNR (dB)", found["PSNR (dB)"][1:]) is None
    copied = picture_metrics(before, real, before)
    assert average("PSNR (dB)", copied["PSNR (dB)"]) == pytest.approx(20 * math.log10(255 / 100))
    similar = average("SSIM", copied["SSIM"])
    assert similar is not None and similar < 0.2


def test_clips_are_compared_frame_by_frame() -> None:
    before = np.zeros((3, 2, 16, 16, 3), np.uint8)
    real = before.copy()
    real[1, 0, 0, 0] = 50
    found = observation_metrics(VideoSpec(2, 16, 16))(before, real, before)
    assert found["PSNR (dB)"].tolist() == [[0.0, 0.0], [2500.0, 1.0], [0.0, 0.0]]
    assert observation_metrics(ImageSpec(16, 16)) is picture_metrics


def test_sounds_are_compared_in_decibels() -> None:
    spec = AudioSpec(1024, 1, 8000)
    noise = np.random.default_rng(0).standard_normal((2, 1024, 1)).astype(np.float32) * 0.1
    found = observation_metrics(spec)
    same = found(noise, noise, noise)["log-mel error (dB)"]
    assert average("log-mel error (dB)", same) == 0.0
    louder = found(noise * 2, noise, noise)["log-mel error (dB)"]
    assert average("log-mel error (dB)", louder) == pytest.approx(20 * math.log10(2), abs=0.05)


def test_words_and_numbers() -> None:
    spec = TextSpec.of(["a", "b"], 3)
    real, guess, before = np.array([[2, 3, 0]]), np.array([[2, 2, 0]]), np.array([[3, 3, 0]])
    found = observation_metrics(spec)(guess, real, before)
    assert found["words right"].tolist() == [[1.0, 2.0]]  # empty slots are not words
    assert found["words right, changed"].tolist() == [[1.0, 1.0]]
    numbers = VectorSpec(("x", "y"), (0.0, -10.0), (1.0, 10.0))
    error = observation_metrics(numbers)(
        np.array([[0.5, 0.0]]), np.array([[0.0, 10.0]]), np.zeros((1, 2))
    )
    assert average("number error", error["number error"]) == pytest.approx(0.5)


def test_share_and_f1() -> None:
    hits = np.array([True, False, True, True])
    assert share(hits) == 0.75
    assert share(hits, np.array([False, True, True, False])) == 0.5
    assert share(hits, np.zeros(4, bool)) is None
    assert f1(np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)) == 0.5
    assert f1(np.zeros(3, bool), np.zeros(3, bool)) is None
    assert f1(np.ones(3, bool), np.zeros(3, bool)) == 0.0


def test_rewards_count_by_kinds_not_decimals() -> None:
    def reward_f1(predicted: np.ndarray, real: np.ndarray) -> float | None:
        return reward_score(predicted, real).f1

    real = np.array([-4.0, -4, -4, -4, -9, 97, 99])
    assert reward_f1(real, real) == 1.0
    near = np.array([-4.2, -3.9, -4, -4, -8.1, 98.9, 97])  # 97 and 99 are one kind
    assert reward_f1(near, real) == 1.0
    silent = np.full(7, -4.0)
    assert reward_f1(silent, real) == 0.0
    one_wrong = np.array([-4.0, -4, -4, -9, -9, 97, 99])  # one shot too many
    assert reward_f1(one_wrong, real) == pytest.approx(2 * 3 / (4 + 3))
    assert reward_f1(np.array([0.4, 0.6]), np.array([0.0, 1.0])) == 1.0
    assert reward_f1(np.zeros(3), np.zeros(3)) is None
    assert reward_score(silent, real).events == 3


def test_psnr_by_hand() -> None:
    real = np.zeros((1, 2, 2, 3), np.uint8)
    assert psnr(float(frame_errors(real, real, real)[0, 0])) == math.inf
    off = real + np.uint8(16)
    assert psnr(float(frame_errors(off, real, real)[0, 0])) == pytest.approx(
        20 * math.log10(255 / 16)
    )


def test_foreground_is_what_changed() -> None:
    before = np.zeros((1, 4, 4, 3), np.uint8)
    real = before.copy()
    real[0, 1, 2] = 255  # one pixel moves
    noisy = np.full_like(real, 200)
    noisy[0, 1, 2] = 255

    def error(predicted: np.ndarray) -> float | None:
        return foreground_error(frame_errors(predicted, real, before))

    assert error(before) == 1.0  # copying loses it
    assert error(real) == 0.0
    assert error(noisy) == 0.0  # what stands still does not count
    assert foreground_error(frame_errors(before, before, before)) is None


def test_the_errors_of_a_video_are_those_of_its_frames() -> None:
    draw = np.random.default_rng(0)
    clips = draw.integers(0, 256, (3, 2, 4, 8, 8, 3)).astype(np.uint8)  # guess, real, before
    errors = frame_errors(*clips)
    assert errors.shape == (2, 4, 3)
    for frame in range(4):
        assert np.array_equal(errors[:, frame], frame_errors(*clips[:, :, frame]))
    assert foreground_error(errors) == foreground_error(errors.reshape(-1, 3))


def test_ranking_is_the_area_under_the_curve() -> None:
    wrong = np.array([True, False, True, False])
    assert ranking(np.array([3.0, 1, 4, 2]), wrong) == 1.0
    assert ranking(np.array([1.0, 3, 2, 4]), wrong) == 0.0
    assert ranking(np.ones(4), wrong) == 0.5
    assert ranking(np.array([3.0, 1, 1, 1]), wrong) == pytest.approx(0.75)
    assert ranking(np.ones(4), np.ones(4, bool)) is None


def test_sound_begins_when_it_gets_loud() -> None:
    silent, quiet, loud = np.zeros((10, 2)), np.full((10, 2), 0.01), np.full((10, 2), 0.5)
    level = loudness(np.stack([silent, quiet, loud, loud]))
    assert level[:3] == pytest.approx([-80, -40, 10 * math.log10(0.25)], abs=0.01)
    begins = onsets(level[1:], level[:-1], loudest=level.max())
    assert begins.tolist() == [False, True, False]


def test_balance_points_left_and_right() -> None:
    sound = np.zeros((3, 8, 2), np.float32)
    sound[0, :, 0] = sound[1, :, 1] = sound[2] = 0.3
    assert balance(sound) == pytest.approx([-1, 1, 0], abs=1e-6)
