"""A WorldNet on a full disk, and one that two build at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from disks import small_disk
from small_worldnet import DESCRIPTION, moment, write_small

from worldgpt_env.model.checkpoint import verify
from worldgpt_env.model.safe_io import RunLock
from worldgpt_env.training.cli import main
from worldgpt_env.training.worldnet.format.annotation import WorldNetError
from worldgpt_env.training.worldnet.format.folder import WorldNetFolder
from worldgpt_env.training.worldnet.format.writer import WorldNetWriter


def test_a_full_disk_leaves_the_old_folder(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        if not disk.mounted:
            pytest.skip("this user may not mount a disk")
        root = write_small(disk.folder / "net")
        disk.leave(40)
        with pytest.raises(WorldNetError, match="could not be written .No space left on device.;"):
            with WorldNetWriter(root, DESCRIPTION, overwrite=True) as writer:
                for episode in range(99):
                    moments = [moment(place) for place in range(5)]
                    writer.add_sequence("train", moments, ["go right"] * 4, episode=f"e{episode}")
        disk.clear()
        verify(root)
        assert WorldNetFolder.open(root).counts["train"]["transitions"] == 8
        assert [path.name for path in disk.folder.iterdir()] == ["net"]


def test_one_builds_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with RunLock(tmp_path / "net"):
        assert main(["worldnet", "build", "arcade", "--out", str(tmp_path / "net")]) == 2
    assert "is being written by the process" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
