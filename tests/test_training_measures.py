"""The figures of a fidelity table, by hand."""

import math

import numpy as np
import pytest

from worldgpt_env.training.measures import (
    balance,
    f1,
    foreground_error,
    image_errors,
    loudness,
    onsets,
    psnr,
    ranking,
    reward_score,
    share,
    video_errors,
)


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
    assert psnr(image_errors(real, real, real)[:, 0]) == math.inf
    off = real + np.uint8(16)
    assert psnr(image_errors(off, real, real)[:, 0]) == pytest.approx(20 * math.log10(255 / 16))


def test_foreground_is_what_changed() -> None:
    before = np.zeros((1, 4, 4, 3), np.uint8)
    real = before.copy()
    real[0, 1, 2] = 255  # one pixel moves
    noisy = np.full_like(real, 200)
    noisy[0, 1, 2] = 255

    def error(predicted: np.ndarray) -> float | None:
        return foreground_error(image_errors(predicted, real, before))

    assert error(before) == 1.0  # copying loses it
    assert error(real) == 0.0
    assert error(noisy) == 0.0  # what stands still does not count
    assert foreground_error(image_errors(before, before, before)) is None


def test_the_errors_of_a_video_are_those_of_its_frames() -> None:
    draw = np.random.default_rng(0)
    clips = draw.integers(0, 256, (3, 2, 4, 8, 8, 3)).astype(np.uint8)  # guess, real, before
    errors = video_errors(*clips)
    assert errors.shape == (2, 4, 3)
    for frame in range(4):
        assert np.array_equal(errors[:, frame], image_errors(*clips[:, :, frame]))
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
