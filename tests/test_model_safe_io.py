"""Writes in one step, their modes and errors, folders that change places, locks, held signals."""

import os
import signal
import stat
import threading
from pathlib import Path

import pytest
import torch

from worldgpt_env.model import safe_io
from worldgpt_env.model.checkpoint import write_folder
from worldgpt_env.model.errors import LockedError, WriteError
from worldgpt_env.model.safe_io import (
    RunLock,
    atomic_file,
    atomic_folder,
    held_signals,
    recover_folder,
    write_json,
    write_tensors,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_all_files_have_the_mode_of_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_json(tmp_path / "a.json", {"a": 1})
        write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(2)})
        write_folder(tmp_path / "f", lambda f: write_tensors(f / "t", {"a": torch.zeros(2)}))
    finally:
        os.umask(before)
    for name in ("a.json", "a.safetensors", "f/t", "f/manifest.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode, name


def test_an_error_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")):
        with pytest.raises((WriteError, KeyboardInterrupt, ValueError)):
            with atomic_file(tmp_path / "a.json") as draft:
                draft.write_text("half")
                raise error
        assert (tmp_path / "a.json").read_text() == "1\n" and names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("target", ["/dev/null", "/proc/a.json", "."])
def test_what_cannot_be_a_file_is_refused(target: str) -> None:
    with pytest.raises(WriteError, match="could not be written"):
        write_json(target, 1)
    assert Path("/dev/null").is_char_device()


def test_an_error_within_a_folder_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(WriteError) as error, atomic_folder(tmp_path / "model") as draft:
        with atomic_file(draft / "weights"):
            raise OSError(28, "No space left on device")
    assert str(error.value).startswith(f"{tmp_path}/model could not be written: No space left")


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced_and_the_old_one_kept(
    tmp_path: Path, monkeypatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(safe_io, "_exchange", lambda *_: False)
    for number in range(3):
        with atomic_folder(tmp_path / "f", keep=tmp_path / "old") as draft:
            (draft / "v").write_text(str(number))
    assert (tmp_path / "f" / "v").read_text() == "2" and (tmp_path / "old" / "v").read_text() == "1"
    assert names(tmp_path) == ["f", "old"]


def test_a_link_stays_and_its_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with atomic_folder(tmp_path / "link") as draft:
        (draft / "v").write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "v").read_text() == "new"


def test_a_file_at_the_place_of_a_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    with pytest.raises(WriteError, match="there is a file"), atomic_folder(tmp_path / "f"):
        pass
    assert (tmp_path / "f").read_text() == "mine" and names(tmp_path) == ["f"]


def test_a_folder_left_between_two_steps_is_found_again(tmp_path: Path, monkeypatch) -> None:
    """As after a kill on a disk that cannot exchange folders: tests/faults does it by force."""
    with atomic_folder(tmp_path / "f") as draft:
        (draft / "v").write_text("old")
    os.replace(tmp_path / "f", tmp_path / ".f.before")
    recover_folder(tmp_path / "f")
    assert (tmp_path / "f" / "v").read_text() == "old" and names(tmp_path) == ["f"]
    recover_folder(tmp_path / "f")
    assert names(tmp_path) == ["f"]


def test_one_lock_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with RunLock(out):
        with pytest.raises(
            LockedError, match=f"{out} is being written by the process {os.getpid()}"
        ):
            RunLock(tmp_path / "x" / ".." / "run").__enter__()
        with RunLock(tmp_path / "other"):
            pass
    with RunLock(out):
        pass
    assert names(tmp_path) == []


def test_the_lock_of_a_dead_process_does_not_hold(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    child = os.fork()
    if not child:
        RunLock(out).__enter__()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    for draft in (tmp_path / ".run.0123abcd.draft", out / ".policy.json.0123abcd.draft"):
        draft.write_text("half")
    (tmp_path / ".run-other.0123abcd.draft").write_text("of somebody else")
    assert ".run.lock" in names(tmp_path)
    with RunLock(out):
        assert names(out) == []
    assert names(tmp_path) == [".run-other.0123abcd.draft", "run"]


def test_a_folder_below_one_of_others_is_locked_inside(tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "run"
    out.mkdir()
    monkeypatch.setattr(safe_io.os, "access", lambda path, mode: Path(path) != tmp_path)
    with RunLock(out):
        assert names(out) == [".lock"] and names(tmp_path) == ["run"]
        with pytest.raises(LockedError):
            RunLock(out).__enter__()
    assert names(out) == []


def test_signals_wait_for_the_end_of_a_block() -> None:
    came, done = [], []
    before = signal.signal(signal.SIGTERM, lambda *_: came.append(len(done)))
    try:
        with held_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("the block")
        assert came == [1]
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(came) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ignored_signals_stay_ignored_and_threads_may_hold() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with held_signals():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    reached: list[bool] = []

    def hold() -> None:
        with held_signals():
            reached.append(True)

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert reached
