"""Spaces: what is observed, what is done, and that nothing else gets through."""

import time

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from tiny_world import ACTIONS, SPECS

from worldgpt_env.actions import ActionValidator
from worldgpt_env.errors import (
    InvalidActionError,
    InvalidObservationError,
    MissingModalityError,
    UnknownModalityError,
    WorldGPTError,
)
from worldgpt_env.model.modalities import Modality
from worldgpt_env.spaces import (
    action_space,
    batched_space,
    check_observation,
    choose_modalities,
    decoded_space,
    latent_space,
)

NAN, INF = float("nan"), float("inf")

BAD = {
    "discrete": [
        -1, 3, 2**40, True, False, None, 1.0, "1", b"1", [1], (1,), {"a": 1}, object(), NAN, INF,
        np.float32(1), np.array(1.0), np.array([1]), np.array(3), np.int64(-1), np.bool_(True),
        np.array(True), np.array("1"), np.array(None), np.array([]), range(2), 1 + 0j,
    ],
    "multidiscrete": [
        0, None, [1, 1], (1, 1), "ab", np.array([1]), np.array([1, 1, 1]), np.array([[1, 1]]),
        np.array([3, 0]), np.array([0, 2]), np.array([-1, 0]), np.array([1.0, 1.0]),
        np.array([NAN, 0]), np.array([True, True]), np.array(["0", "0"]), np.array([None, None]),
    ],
    "box": [
        0.5, None, [0.0, 1.0], (0.0, 1.0), "ab", np.float32([0.5]), np.float32([[0.0, 1.0]]),
        np.float32([0, 1, 0]), np.float32([-1.1, 1]), np.float32([0, 2.1]), np.float32([0, -0.1]),
        np.float32([NAN, 1]), np.float32([0, INF]), np.float32([-INF, 1]), np.float32([1e38, 1]),
        np.array([0.0, 1.0]), np.array([0, 1]), np.array([True, True]), np.array(["0", "1"]),
        np.array([None, None]), np.array([0j, 1j]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind, action", [(k, a) for k, actions in BAD.items() for a in actions])
def test_every_bad_action_is_refused_by_name(kind: str, action: object) -> None:
    with pytest.raises(InvalidActionError, match="is not an action here; pass a") as caught:
        ActionValidator(ACTIONS[kind]).one(action)
    assert isinstance(caught.value, WorldGPTError)


@pytest.mark.parametrize("kind", ACTIONS)
def test_every_sample_of_the_space_passes_alone_and_together(kind: str) -> None:
    gate, space = ActionValidator(ACTIONS[kind]), action_space(ACTIONS[kind])
    together = batch_space(space, 4)
    for seed in range(50):
        space.seed(seed)
        together.seed(seed)
        action = space.sample()
        assert np.array_equal(gate.one(action), np.asarray(action)[None])
        actions = together.sample()
        assert np.array_equal(gate.many(actions, 4), actions)


def test_the_names_of_the_actions_are_in_the_message() -> None:
    with pytest.raises(InvalidActionError, match="0 'turn left', 1 'turn right', 2 'go'"):
        ActionValidator(ACTIONS["discrete"]).one(7)


def test_python_and_numpy_integers_of_any_width_pass() -> None:
    gate = ActionValidator(ACTIONS["discrete"])
    for action in (2, np.int8(2), np.uint8(2), np.int64(2), np.array(2, np.int32)):
        passed = gate.one(action)
        assert passed.tolist() == [2] and passed.dtype == np.int64


@pytest.mark.parametrize(
    "actions",
    [
        0,
        [0, 1],
        (0, 1),
        None,
        np.array([0, 3]),
        np.array([0]),
        np.array([0.0, 1.0]),
        np.array([[0, 1]]),
    ],
)
def test_batches_are_checked_too(actions: object) -> None:
    with pytest.raises(InvalidActionError, match=r"integer array of shape \(2,\)"):
        ActionValidator(ACTIONS["discrete"]).many(actions, 2)


@pytest.mark.parametrize("kind", ACTIONS)
def test_the_gate_costs_at_most_twenty_microseconds(kind: str) -> None:
    gate, action = ActionValidator(ACTIONS[kind]), action_space(ACTIONS[kind]).sample()
    costs = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(2000):
            gate.one(action)
        costs.append((time.process_time() - start) / 2000)
    assert min(costs) <= 20e-6


def test_spaces_have_the_shapes_and_dtypes_of_the_specs() -> None:
    space = decoded_space(SPECS)
    assert list(space) == ["image", "audio", "text", "vector"]  # the order of Modality
    assert space["image"] == spaces.Box(0, 255, (32, 32, 3), np.uint8)
    assert space["audio"] == spaces.Box(-1, 1, (400, 2), np.float32)
    assert space["text"] == spaces.Box(0, len(SPECS[Modality.TEXT].vocabulary) - 1, (6,), np.int64)
    assert space["vector"].low.tolist() == [0, -1] and space["vector"].high.tolist() == [100, 1]
    assert list(batched_space(space, 3)) == list(space)
    assert batched_space(space, 3)["text"].shape == (3, 6)


def test_latent_space_is_one_flat_box_per_modality() -> None:
    space = latent_space({Modality.TEXT: 5, Modality.IMAGE: 7})
    assert list(space) == ["image", "text"]
    assert space["image"] == spaces.Box(-1, 1, (7,), np.float32)


def test_modalities_are_chosen_by_name_or_member_in_a_fixed_order() -> None:
    assert choose_modalities(None, SPECS) == tuple(SPECS)
    assert choose_modalities(["text", Modality.IMAGE], SPECS) == (Modality.IMAGE, Modality.TEXT)
    assert choose_modalities("audio", SPECS) == (Modality.AUDIO,)


def test_unknown_missing_and_no_modalities_are_errors() -> None:
    with pytest.raises(UnknownModalityError, match="'smell' is unknown; choose from"):
        choose_modalities(["smell"], SPECS)
    with pytest.raises(MissingModalityError, match="no 'video'; choose from"):
        choose_modalities(["video"], SPECS)
    with pytest.raises(MissingModalityError, match="empty"):
        choose_modalities([], SPECS)


def observation(rows: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    """Return a valid observation of zeros."""
    return {str(m): np.zeros((*rows, *spec.shape), spec.dtype) for m, spec in SPECS.items()}


def test_one_observation_serves_all_rows_or_each_has_its_own() -> None:
    one, many = (
        check_observation(observation(), SPECS, 3),
        check_observation(observation((3,)), SPECS, 3),
    )
    for modality, spec in SPECS.items():
        assert one[modality].shape == many[modality].shape == (3, *spec.shape)


@pytest.mark.parametrize(
    "key, value",
    [
        ("image", np.zeros((32, 32, 3))),
        ("image", np.zeros((3, 32, 32), np.uint8)),
        ("audio", np.full((400, 2), NAN, np.float32)),
        ("audio", np.full((400, 2), 1.5, np.float32)),
        ("text", np.zeros(6, np.int32)),
        ("text", np.full(6, 999)),
        ("text", "the door is open"),
        ("vector", np.float32([50, 2])),
        ("vector", np.float32([INF, 0])),
        ("vector", None),
    ],
)
def test_observations_that_do_not_fit_are_errors_that_say_what_does(
    key: str, value: object
) -> None:
    with pytest.raises(InvalidObservationError, match=f"the {key} of the observation"):
        check_observation(observation() | {key: value}, SPECS, 1)


def test_missing_and_foreign_keys_and_no_dict_are_errors() -> None:
    part = observation()
    part.pop("text")
    for given in (part, observation() | {"smell": np.zeros(1)}):
        with pytest.raises(MissingModalityError, match="pass all of"):
            check_observation(given, SPECS, 1)
    with pytest.raises(InvalidObservationError, match="pass a dict"):
        check_observation(np.zeros(3), SPECS, 1)
