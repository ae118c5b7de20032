"""Chunks: past steps that a working memory has put aside, in a folder or in memory."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
import warnings
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import IO

from safetensors import SafetensorError
from torch import Tensor

from ..errors import MemoryFolderError
from ..safe_tensors import read_tensors, save_tensors

LOCK = "lock"
CURE = (
    "Someone removed or changed it: reset the episodes, and leave the folder alone while they run."
)
READ_AT_ONCE = 8
"""Chunks that stay in memory once they were read."""


class Chunk:
    """Some steps of some rows, written once; its file goes when nobody remembers it any more."""

    def __init__(self, store: ChunkStore, tensors: dict[str, Tensor], path: Path | None) -> None:
        """Hold ``tensors`` themselves, or the ``path`` where ``store`` wrote them."""
        self.store, self.path = store, path
        self._tensors = tensors if path is None else None
        if path is not None:
            weakref.finalize(self, _unlink, path, os.getpid())

    def read(self) -> dict[str, Tensor]:
        """Return the steps by name, ``(rows, steps, ...)`` each."""
        return self._tensors if self.path is None else self.store.read(self.path)  # type: ignore[return-value]


class ChunkStore:
    """Keeps chunks in a sub-folder of its own, or in memory.

    Any number of processes may name the same folder: each makes its own sub-folder, which a lock
    file guards, and clears away those of processes that died.

    Args:
        folder: where the sub-folder is made; None keeps everything in memory.
        fallback: keep in memory what cannot be written, and say so in :attr:`trouble`; otherwise
            that is an error.

    Attributes:
        trouble: why the folder is not used; "" if it is, or none was asked for.

    Raises:
        MemoryFolderError: the folder cannot be written to.
    """

    def __init__(self, folder: str | Path | None, fallback: bool = False) -> None:
        """Make and lock the sub-folder."""
        self.fallback, self.trouble = fallback, ""
        self.own: Path | None = None
        self._owner = os.getpid()
        self._read: OrderedDict[Path, dict[str, Tensor]] = OrderedDict()
        if folder is None:
            return
        try:
            self.own, self._lock = _own_folder(Path(folder))
        except OSError as error:
            self._give_up(f"{folder} cannot hold a memory ({error.strerror or error})", error)
            return
        weakref.finalize(self, _remove, self.own, self._lock, self._owner)

    def keep(self, tensors: dict[str, Tensor]) -> Chunk:
        """Put ``tensors`` (on the CPU) aside.

        Raises:
            MemoryFolderError: the folder is full or gone, or belongs to another process.
        """
        if self.own is None:
            return Chunk(self, tensors, None)
        path = self.own / f"{uuid.uuid4().hex}.safetensors"
        try:
            self._need_owner()
            save_tensors(path, tensors)  # no need to last: its name is told when it is whole
        except (OSError, SafetensorError) as error:
            path.unlink(missing_ok=True)
            self._give_up(f"a memory could not be written to {self.own} ({error})", error)
            return Chunk(self, tensors, None)
        return Chunk(self, tensors, path)

    def read(self, path: Path) -> dict[str, Tensor]:
        """Return what :meth:`keep` wrote; the last few chunks stay in memory."""
        if path not in self._read:
            self._read[path] = read_tensors(path, CURE, MemoryFolderError)
            while len(self._read) > READ_AT_ONCE:
                self._read.popitem(last=False)
        self._read.move_to_end(path)
        return self._read[path]

    def _need_owner(self) -> None:
        """Refuse to write after a process fork: the folder is the parent's."""
        if os.getpid() != self._owner:
            raise MemoryFolderError(f"it is in use by process {self._owner}; make one of your own")

    def _give_up(self, reason: str, error: Exception) -> None:
        """Go on in memory if that was asked for, once with a warning; or raise."""
        if not self.fallback:
            raise MemoryFolderError(
                f"{reason}. Name another folder, make room in it, or let the memory stay in RAM: "
                "MemoryConfig(folder=None), or MemoryConfig(..., fallback=True)."
            ) from error
        self.own, self.trouble = None, f"{reason}; older steps stay in RAM"
        warnings.warn(f"{self.trouble}.", stacklevel=4)


def _own_folder(folder: Path) -> tuple[Path, IO[str]]:
    """Return a new locked sub-folder of ``folder``, and its lock; the dead ones are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.glob(f"memory-*/{LOCK}"):
        _remove_abandoned(other)
    own = Path(tempfile.mkdtemp(prefix="memory-", dir=folder))
    lock = (own / f".{LOCK}").open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        os.replace(own / f".{LOCK}", own / LOCK)  # nobody finds it before it is locked
    except OSError:
        lock.close()
        shutil.rmtree(own, ignore_errors=True)
        raise
    return own, lock


def _remove_abandoned(lock: Path) -> None:
    """Remove the sub-folder of ``lock`` if the process that locked it is gone."""
    try:
        with lock.open("r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
    except OSError:
        return  # it lives, or is not ours to remove


def _unlink(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        path.unlink(missing_ok=True)


def _remove(own: Path, lock: IO[str], owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(own, ignore_errors=True)
    lock.close()
