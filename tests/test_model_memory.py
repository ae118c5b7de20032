"""Working memory: what is read back, rows apart, old steps put aside, folders that fail."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import children
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from worldgpt_env.model.cognition import chunks
from worldgpt_env.model.cognition.choice import choose_steps
from worldgpt_env.model.cognition.memory import MemoryConfig, WorkingMemory
from worldgpt_env.model.errors import ConfigurationError, MemoryFolderError
from worldgpt_env.model.modalities import Modality

IMAGE = Modality.IMAGE
PARTS = {"action": ((), torch.int64), "state/image": ((2, 1), torch.uint8)}


def make(rows: int, **config: Any) -> WorkingMemory:
    return WorkingMemory(PARTS, rows, MemoryConfig(**config))


def write(memory: WorkingMemory, number: Tensor, rows: Tensor | None = None, **more: Any) -> None:
    """Write a step whose parts all tell its ``number`` ``(B,)``."""
    codes = number[:, None, None].expand(-1, 2, 1)
    memory.write({IMAGE: codes}, number, {IMAGE: codes + 1}, rows, **more)


def read(memory: WorkingMemory, horizon: int | None = None, count: int = 4) -> list[list[int]]:
    """Return the numbers that each row recalls, and check that all parts tell the same."""
    contexts = memory.recall(horizon, count)
    told = contexts.state[IMAGE]
    assert told.dtype == torch.int64 and told.shape == (memory.rows, count, 2, 1)
    assert torch.equal(told[:, :, 0, 0], contexts.action)
    assert torch.equal(contexts.next_state[IMAGE], (told + 1) * contexts.valid[..., None, None])
    assert contexts.distance.isnan().all()
    return [row[there].tolist() for row, there in zip(contexts.action, contexts.valid, strict=True)]


def test_the_last_steps_come_oldest_first() -> None:
    memory = make(2, near=8)
    assert read(memory) == [[], []]
    for step in range(6):
        write(memory, torch.tensor([step, 100 + step]))
    assert read(memory) == [[2, 3, 4, 5], [102, 103, 104, 105]]
    assert read(memory, count=9)[0] == [0, 1, 2, 3, 4, 5]


def test_missing_contexts_stand_in_front_and_hold_zeros() -> None:
    memory = make(1)
    write(memory, torch.tensor([7]))
    contexts = memory.recall(count=3)
    assert contexts.valid.tolist() == [[False, False, True]]
    assert contexts.state[IMAGE][0, :, 0, 0].tolist() == [0, 0, 7]


def test_steps_are_spread_over_a_horizon_with_both_ends() -> None:
    steps, valid = choose_steps(torch.tensor([100, 3, 0, 12]), horizon=10, count=4)
    assert steps.tolist()[0] == [90, 93, 96, 99] and valid.sum(1).tolist() == [4, 3, 0, 4]
    assert steps[1, valid[1]].tolist() == [0, 1, 2]
    everything, _ = choose_steps(torch.tensor([100]), horizon=10**9, count=3)
    assert everything[0, 0] == 0 and everything[0, -1] == 99
    newest, _ = choose_steps(torch.tensor([100]), horizon=10, count=1)
    assert newest.tolist() == [[99]]


@given(st.integers(0, 60), st.integers(1, 70), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_chosen_steps_are_different_and_inside_the_horizon(
    steps: int, horizon: int, count: int
) -> None:
    chosen, valid = choose_steps(torch.tensor([steps]), horizon, count)
    numbers = chosen[0, valid[0]].tolist()
    assert len(numbers) == min(steps, horizon, count)
    assert numbers == sorted(set(numbers))
    assert all(max(0, steps - horizon) <= number < steps for number in numbers)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=60), st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_rows_never_mix_whatever_happens_in_which_order(
    story: list[tuple[int, int]], near: int
) -> None:
    """A memory of 3 rows and plain lists live through the same random story."""
    memory, wanted, number = make(3, near=near), [[], [], []], 0  # type: ignore[var-annotated]
    for what, row in story:
        if what == 0:
            memory.clear(torch.tensor([row]))
            wanted[row] = []
        elif what == 1:
            memory = memory.select(torch.tensor([row, 1, 2]))
            wanted = [list(wanted[row]), list(wanted[1]), list(wanted[2])]
        else:
            number = (number + 1) % 250
            write(memory, torch.tensor([number] * 3), torch.arange(3) >= row)
            for member in range(row, 3):
                wanted[member].append(number)
    assert read(memory, None, 4) == [past[-4:] for past in wanted]
    assert read(memory, 10**6, 100) == [past[-100:] for past in wanted]


def test_a_snapshot_leads_back_and_holds_what_was_put_aside(tmp_path: Path) -> None:
    memory = make(2, near=4, folder=tmp_path)
    for step in range(11):
        rows = torch.tensor([True, step % 2 == 0])
        write(memory, torch.tensor([step, step + 50]), rows, answers=[f"step {step}", None])
    snapshot = {name: part.clone() for name, part in memory.snapshot().items()}
    before = read(memory, 99, 20)
    write(memory, torch.tensor([99, 99]))
    memory.clear(torch.tensor([0]))
    assert read(memory, 99, 20) != before
    for other in (memory, make(2, near=4)):
        assert other.fits(snapshot)
        other.restore(snapshot)
        assert read(other, 99, 20) == before
        assert other.recall_answers(count=2) == [["step 9", "step 10"], [None, None]]
    assert not make(3, near=4).fits(snapshot) and not make(2, near=5).fits(snapshot)
    assert not memory.fits({"steps": snapshot["steps"]})


def test_a_fork_goes_its_own_way_and_outlives_its_original(tmp_path: Path) -> None:
    memory = make(1, near=2, folder=tmp_path)
    for step in range(7):
        write(memory, torch.tensor([step]))
    fork = memory.select(torch.tensor([0, 0]))
    memory.clear()
    write(memory, torch.tensor([200]))
    del memory
    assert read(fork, 99, 9) == [list(range(7))] * 2


def test_answers_stay_with_their_steps() -> None:
    memory = make(2)
    write(memory, torch.tensor([1, 1]), answers=["a red key", None])
    write(memory, torch.tensor([2, 2]))
    assert memory.recall_answers(count=2) == [["a red key", None], [None, None]]
    memory.clear(torch.tensor([0]))
    assert memory.recall_answers(count=1) == [[None], [None]]


def test_what_was_absent_is_told() -> None:
    memory = make(2)
    write(memory, torch.tensor([1, 1]), present={IMAGE: torch.tensor([True, False])})
    write(memory, torch.tensor([2, 2]))
    contexts = memory.recall(count=2)
    assert contexts.present[IMAGE].tolist() == [[True, True], [False, True]]
    assert contexts.present_next == {}
    write(memory, torch.tensor([3, 3]))
    assert memory.recall(count=2).present == {}


def test_what_followed_can_turn_out_otherwise() -> None:
    memory = make(2, near=2)
    for step in range(4):
        write(memory, torch.tensor([step, step]), torch.tensor([True, step < 1]))
    memory.amend({IMAGE: torch.full((2, 2, 1), 77)})
    following = memory.recall(count=2).next_state[IMAGE][:, :, 0, 0]
    assert following.tolist() == [[3, 77], [0, 77]]


# folders ----------------------------------------------------------------------------------------


def test_the_near_part_is_bounded_and_files_go_with_the_memory(tmp_path: Path) -> None:
    memory = make(2, near=4, folder=tmp_path)
    for step in range(40):
        write(memory, torch.tensor([step, step]))
        assert int((memory.steps - memory.aside).max()) <= 4
    assert len(list(tmp_path.rglob("*.safetensors"))) == 18
    memory.clear(torch.tensor([0]))
    assert read(memory, 99, 40)[1] == list(range(40))
    memory.clear()
    assert not list(tmp_path.rglob("*.safetensors"))
    del memory
    assert not list(tmp_path.iterdir())


def test_two_memories_share_a_folder_and_dead_ones_are_cleared_away(tmp_path: Path) -> None:
    code = (
        "import os, sys; from worldgpt_env.model.cognition.chunks import ChunkStore\n"
        "store = ChunkStore(sys.argv[1]); os._exit(0)"
    )
    children.run_well([sys.executable, "-c", code, tmp_path], timeout=60)
    (dead,) = tmp_path.iterdir()
    one, other = chunks.ChunkStore(tmp_path), chunks.ChunkStore(tmp_path)
    assert one.own != other.own and not dead.exists()
    assert one.own is not None and (one.own / "lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_of_another_process_is_refused(tmp_path: Path) -> None:
    memory = make(1, near=2, folder=tmp_path)
    memory.store._owner = os.getpid() + 1  # as after a fork of the process
    with pytest.raises(MemoryFolderError, match="in use by process"):
        for step in range(3):
            write(memory, torch.tensor([step]))


def test_a_folder_that_cannot_be_made_is_an_error_or_a_told_fallback(tmp_path: Path) -> None:
    blocked = tmp_path / "file" / "memory"
    blocked.parent.write_text("this is no folder")
    with pytest.raises(MemoryFolderError, match="fallback=True"):
        make(1, folder=blocked)
    with pytest.warns(UserWarning, match="stay in RAM"):
        memory = make(1, near=2, folder=blocked, fallback=True)
    assert "cannot hold a memory" in memory.store.trouble
    for step in range(9):
        write(memory, torch.tensor([step]))
    assert read(memory, 9, 9) == [list(range(9))]


def test_a_full_folder_is_an_error_or_a_told_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, tensors: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    strict, kind = make(1, near=2, folder=tmp_path), make(1, near=2, folder=tmp_path, fallback=True)
    monkeypatch.setattr(chunks, "save_tensors", full)
    for step in range(2):
        write(strict, torch.tensor([step]))
    with pytest.raises(MemoryFolderError, match="No space left"):
        write(strict, torch.tensor([2]))
    assert read(strict, 9, 9) == [[0, 1]]  # nothing was lost
    with pytest.warns(UserWarning, match="No space left"):
        for step in range(7):
            write(kind, torch.tensor([step]))
    assert read(kind, 9, 9) == [list(range(7))] and "No space" in kind.store.trouble
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_file_that_someone_removed_is_named(tmp_path: Path) -> None:
    memory = make(1, near=2, folder=tmp_path)
    for step in range(3):
        write(memory, torch.tensor([step]))
    (gone,) = tmp_path.rglob("*.safetensors")
    gone.unlink()
    with pytest.raises(MemoryFolderError, match=gone.name):
        memory.recall(9, 9)


@pytest.mark.parametrize(
    "wrong", [{"reading": "cooked"}, {"count": 0}, {"horizon": 0}, {"near": 1}, {"count": True}]
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="memory"):
        MemoryConfig(**wrong)
