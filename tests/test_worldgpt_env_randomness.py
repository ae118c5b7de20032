"""Counted randomness: the same counts give the same draw, other counts another one."""

import numpy as np

from worldgpt_env.randomness import Stream, draw_keys, noise_keys, seed_keys, uniforms


def draw(seed: int, episode: int = 0, step: int = 0, stream: Stream = Stream.DYNAMICS) -> int:
    """Return one key."""
    return int(draw_keys(seed_keys([seed]), np.array([episode]), np.array([step]), stream)[0])


def test_a_draw_depends_on_seed_episode_step_and_stream_alone() -> None:
    keys = {draw(s, e, t, k) for s in range(5) for e in range(5) for t in range(5) for k in Stream}
    assert len(keys) == 5 * 5 * 5 * len(Stream)
    assert draw(3, 1, 2) == draw(3, 1, 2)
    rows = draw_keys(
        seed_keys([9, 3, 4]), np.array([0, 1, 0]), np.array([7, 2, 0]), Stream.DYNAMICS
    )
    assert int(rows[1]) == draw(3, 1, 2)


def test_any_whole_number_is_a_seed() -> None:
    assert len(set(seed_keys([0, 1, 2**32, 2**64, 2**200]).tolist())) == 5


def test_uniforms_are_uniform() -> None:
    steps = np.arange(20_000)
    keys = draw_keys(np.repeat(seed_keys([0]), 20_000), np.zeros_like(steps), steps, Stream.START)
    numbers = uniforms(keys)
    assert 0 <= numbers.min() and numbers.max() < 1
    counts = np.histogram(numbers, 20, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 50  # chi-square, 19 degrees of freedom
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.03


def test_noise_keys_are_not_negative() -> None:
    assert (noise_keys(np.array([0, 2**64 - 1], np.uint64)) >= 0).all()
