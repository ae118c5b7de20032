"""Combinations, their four classes, and the order in which they are learned."""

from collections import Counter

import pytest

from worldgpt_env.model.curriculum import SCHEDULES, Combination, Curriculum, Kind, combinations
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality

SEEN_AND_HEARD = (Modality.IMAGE, Modality.VIDEO, Modality.AUDIO)
UPDATES = 4000


def test_three_modalities_have_the_49_combinations_of_the_paper() -> None:
    counts = Counter(c.kind for c in combinations(SEEN_AND_HEARD))
    assert counts == {
        Kind.SINGLE_SAME: 3,
        Kind.SINGLE_OTHER: 6,
        Kind.SEVERAL_SAME: 4,
        Kind.SEVERAL_OTHER: 36,
    }
    assert len(set(combinations(Modality))) == 31 * 31


@pytest.mark.parametrize("combination", combinations(SEEN_AND_HEARD), ids=lambda c: c.name)
def test_a_name_gives_its_combination_back(combination: Combination) -> None:
    assert Combination.parse(combination.name) == combination


def test_sides_are_sorted_and_their_order_means_nothing() -> None:
    assert Combination.parse("audio+image > video").name == "image+audio>video"


@pytest.mark.parametrize("name", ["image", "smell>image", "image>", ""])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        Combination.parse(name)


def test_a_class_enters_with_every_quarter() -> None:
    curriculum = Curriculum(SEEN_AND_HEARD, "progressive")
    order = list(Kind)
    for quarter in range(4):
        updates = range(quarter * UPDATES // 4, (quarter + 1) * UPDATES // 4)
        met = Counter(curriculum.combination(update, UPDATES).kind for update in updates)
        assert set(met) == set(order[: quarter + 1])
        for count in met.values():
            assert abs(count / len(updates) - 1 / (quarter + 1)) < 0.05


def test_naive_is_the_last_quarter_from_the_start() -> None:
    curriculum = Curriculum(SEEN_AND_HEARD, "naive")
    drawn = Counter(curriculum.combination(update, UPDATES) for update in range(UPDATES))
    kinds: Counter[Kind] = Counter()
    for combination, count in drawn.items():
        kinds[combination.kind] += count
    assert all(abs(kinds[kind] / UPDATES - 0.25) < 0.02 for kind in Kind)
    assert set(drawn) == set(combinations(SEEN_AND_HEARD))


def test_static_reads_no_state_and_complete_reads_everything() -> None:
    static = Curriculum(SEEN_AND_HEARD, "static")
    drawn = {static.combination(update, 100) for update in range(100)}
    assert {c.inputs for c in drawn} == {()}
    assert {c.outputs for c in drawn} == {*((m,) for m in SEEN_AND_HEARD), SEEN_AND_HEARD}
    complete = Curriculum(SEEN_AND_HEARD).combination(3, 100)
    assert complete.inputs == complete.outputs == SEEN_AND_HEARD


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_same_seed_draws_the_same_lessons_at_any_time(schedule: str) -> None:
    one, other = (Curriculum(SEEN_AND_HEARD, schedule, seed=3) for _ in range(2))
    late = [one.combination(update, 50) for update in range(25, 50)]
    assert late == [other.combination(update, 50) for update in range(50)][25:]


def test_what_is_left_out_is_never_drawn() -> None:
    left_out = [Combination.parse("image>audio"), Combination.parse("image+video>image+video")]
    curriculum = Curriculum(SEEN_AND_HEARD, "naive", left_out)
    assert not set(left_out) & {curriculum.combination(u, UPDATES) for u in range(UPDATES)}
    assert len(curriculum.combinations) == 47


def test_an_unknown_schedule_or_combination_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="progressive"):
        Curriculum(SEEN_AND_HEARD, "random")
    with pytest.raises(ConfigurationError, match="text>image"):
        Curriculum(SEEN_AND_HEARD, "naive", [Combination.parse("text>image")])
