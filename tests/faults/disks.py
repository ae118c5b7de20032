"""Small disks that are full or read-only: real ones where they may be mounted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

BALLAST = ".ballast"


class Disk:
    """A disk in memory at ``folder``; or, without the right to mount one, what stands in for it.

    Without that right, no file of a command may grow beyond the room that is left, and a folder is
    read-only by its mode.
    """

    def __init__(self, folder: Path, mounted: bool) -> None:
        """Name the disk."""
        self.folder, self.mounted = folder, mounted

    def leave(self, room: int) -> dict[str, Any]:
        """Leave ``room`` KiB free, and return how a command is to be started."""
        if not self.mounted:
            return {"limit": 1024 * room}
        free = os.statvfs(self.folder)
        size = free.f_bavail * free.f_frsize - 1024 * room
        with suppress(OSError), (self.folder / BALLAST).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))
        return {}

    def clear(self) -> None:
        """Make room again."""
        (self.folder / BALLAST).unlink(missing_ok=True)

    def set_writable(self, writable: bool) -> None:
        """Let commands write to the disk, or not."""
        if self.mounted:
            mode = f"remount,{'rw' if writable else 'ro'}"
            subprocess.run(["mount", "-o", mode, self.folder], check=True)
        else:
            for path in (self.folder, *self.folder.rglob("*")):
                if path.is_dir():
                    path.chmod(0o755 if writable else 0o555)


@contextmanager
def small_disk(folder: Path, size: str = "64m") -> Iterator[Disk]:
    """Give a disk of its own, or its stand-in."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "faults", str(folder)]
    mounted = not subprocess.run(command, capture_output=True, check=False).returncode
    disk = Disk(folder, mounted)
    try:
        yield disk
    finally:
        if mounted:
            subprocess.run(["umount", "-l", folder], check=True)
        else:
            disk.set_writable(True)
            shutil.rmtree(folder, ignore_errors=True)
