"""Specs that no array can have are refused when they are made."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from worldgpt_env.errors import ConfigurationError
from worldgpt_env.model.modalities import (
    ActionSpec,
    AudioSpec,
    ImageSpec,
    TextSpec,
    VectorSpec,
    VideoSpec,
)

NAN, INF = float("nan"), float("inf")

WRONG_SPECS: list[tuple[Callable[[], Any], str]] = [
    (lambda: ImageSpec(0, 16), "height is 0"),
    (lambda: ImageSpec(16, 16.0), "width is 16.0"),  # type: ignore[arg-type]
    (lambda: ImageSpec(True, 16), "height is True"),
    (lambda: ImageSpec(16, -16), "width is -16"),
    (lambda: ImageSpec(NAN, 16), "height is nan"),  # type: ignore[arg-type]
    (lambda: ImageSpec(16, "16"), "width is '16'"),  # type: ignore[arg-type]
    (lambda: ImageSpec(64_000, 64_000), "is the most"),
    (lambda: VideoSpec(1, 16, 16), "at least 2"),
    (lambda: VideoSpec(2.5, 16, 16), "frames is 2.5"),  # type: ignore[arg-type]
    (lambda: VideoSpec(10**9, 16, 16), "is the most"),
    (lambda: AudioSpec(0, 1, 8000), "samples is 0"),
    (lambda: AudioSpec(10, 2.5, 8000), "channels is 2.5"),  # type: ignore[arg-type]
    (lambda: AudioSpec(10, 1, -1), "rate is -1"),
    (lambda: AudioSpec(10, 1, INF), "rate is inf"),  # type: ignore[arg-type]
    (lambda: TextSpec.of(["a"], 0), "slots of the text is 0"),
    (lambda: TextSpec.of(["a"], 1.5), "slots of the text is 1.5"),  # type: ignore[arg-type]
    (lambda: TextSpec.of("words", 2), "'words' is no tuple"),
    (lambda: TextSpec.of(["a", 3], 2), "3 is no text"),  # type: ignore[list-item]
    (lambda: TextSpec(2, ("", "<unknown>", "a", "a")), "'a' is there twice"),
    (lambda: TextSpec(2, ("a", "b")), "starts with"),
    (lambda: ActionSpec("box", (10**12,)), "is the most"),
    (lambda: ActionSpec("box", (2**26,), (), (0.0,), (1.0,)), "one length"),
    (lambda: ActionSpec("box", (2,), (), (0.0, 1.0), (1.0, 0.0)), "the action 'dimension 1' has"),
    (lambda: VectorSpec((), (), ()), "no names"),
    (lambda: VectorSpec(("a",), (1.0,), (1.0,)), "range"),
    (lambda: VectorSpec(("a",), (2.0,), (1.0,)), r"'a' has the range \[2.0, 1.0\]"),
    (lambda: VectorSpec(("a",), (-INF,), (INF,)), "range"),
    (lambda: VectorSpec(("a",), (NAN,), (1.0,)), "range"),
    (lambda: VectorSpec(("a",), (0.0,), (1e300,)), "float32"),
    (lambda: VectorSpec(("a",), (-3e38,), (3e38,)), "float32"),
    (lambda: VectorSpec(("a",), (1e8,), (1e8 + 1,)), "float32"),
    (lambda: VectorSpec(("a",), (0,), (10**400,)), "float32"),
    (lambda: VectorSpec(("a",), (False,), (True,)), "range"),
    (lambda: VectorSpec(("a",), ("0",), ("1",)), "range"),  # type: ignore[arg-type]
    (lambda: VectorSpec(("a", "a"), (0, 0), (1, 1)), "'a' is there twice"),
    (lambda: VectorSpec(("a", "b"), (0,), (1, 1)), "one length"),
    (lambda: VectorSpec("ab", (0, 0), (1, 1)), "'ab' is no tuple"),  # type: ignore[arg-type]
    (lambda: ActionSpec("fly", (2,)), "kind 'fly'"),
    (lambda: ActionSpec("discrete", (0,)), "is 0"),
    (lambda: ActionSpec("discrete", (2.5,)), "is 2.5"),  # type: ignore[arg-type]
    (lambda: ActionSpec("discrete", (True,)), "is True"),
    (lambda: ActionSpec("discrete", (-1,)), "is -1"),
    (lambda: ActionSpec("discrete", ()), "one number"),
    (lambda: ActionSpec("discrete", (2, 3)), "one number"),
    (lambda: ActionSpec("discrete", 3), "3 is no tuple"),  # type: ignore[arg-type]
    (lambda: ActionSpec("discrete", (10**9,)), "is the most"),
    (lambda: ActionSpec("discrete", (2,), ("a",)), "1 names of discrete actions and 2"),
    (lambda: ActionSpec("discrete", (2,), ("a", "a")), "'a' is there twice"),
    (lambda: ActionSpec("discrete", (2,), (), (0.0,), (1.0,)), "no low and high"),
    (lambda: ActionSpec("multidiscrete", ()), "a size per part"),
    (lambda: ActionSpec("multidiscrete", (3, 0)), "is 0"),
    (lambda: ActionSpec("box", (1,), (), (1.0,), (0.0,)), r"range \[1.0, 0.0\]"),
    (lambda: ActionSpec("box", (1,), (), (0.0,), (0.0,)), "range"),
    (lambda: ActionSpec("box", (1,), (), (-INF,), (1.0,)), "range"),
    (lambda: ActionSpec("box", (1,), (), (0.0,), (NAN,)), "range"),
    (lambda: ActionSpec("box", (2,), (), (0.0,), (1.0,)), "one low and one high"),
    (lambda: ActionSpec("box", (1,)), "one low and one high"),
    (lambda: ActionSpec("text", (2,), ("a", "b")), "starts with"),
    (lambda: ActionSpec.text(["a"], 0), "is 0"),
    (lambda: ActionSpec.text("go left", 2), "'go left' is no tuple"),
]


@pytest.mark.parametrize(("make", "message"), WRONG_SPECS)
def test_specs_that_no_array_can_have_are_refused(make: Callable[[], Any], message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigurationError, match=message):
            make()


def test_specs_of_numpy_are_specs_of_python() -> None:
    assert ImageSpec(np.int64(16), np.uint8(24)) == ImageSpec(16, 24)
    made = VectorSpec(np.array(["a", "b"]), np.zeros(2, np.float32), np.ones(2))  # type: ignore[arg-type]
    assert made == VectorSpec(("a", "b"), (0.0, 0.0), (1.0, 1.0))
    json.dumps([dataclasses.asdict(spec) for spec in (ImageSpec(np.int64(16), 16), made)])
    assert ActionSpec("multidiscrete", np.array([3, 2])) == ActionSpec("multidiscrete", (3, 2))  # type: ignore[arg-type]
