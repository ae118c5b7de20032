"""Writes that survive a full disk, a power cut and a killed process, and locks on run folders.

A file or folder is written beside its target, flushed to the disk and moved there in one step: at
every instant its place holds the old one or the new one, whole.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import signal
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from .errors import LockedError, WorldGPTError, WriteError

if TYPE_CHECKING:
    from torch import Tensor

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a process to end, and let it save first."""

DRAFT = ".draft"
"""Ending of files and folders that are not whole yet."""

_MANY = 64  # files; from here on one sync of all disks is faster than one per file
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux's renameat2


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give the path of a draft to write; it takes the place of ``path`` when the block ends.

    Missing folders above ``path`` are made. An error or a signal in the block removes the draft.

    Example:
        >>> with atomic_file("runs/film.gif") as draft:
        ...     film.save(draft, format="GIF")  # the name of a draft does not tell its format

    Raises:
        WriteError: the disk is full or ``path`` is not writable; an old file is as it was.
    """
    path = Path(path).resolve()
    draft = draft_of(path)
    with write_errors(path):
        try:
            if path.exists() and not path.is_file():
                raise OSError(errno.EINVAL, "it is a folder or a device, and no file")
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("xb") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777  # as the umask has it
            yield draft
            draft.chmod(mode)  # safetensors makes its files anew, readable by their owner alone
            # A draft folder is flushed as a whole.
            lasting = not any(above.suffix == DRAFT for above in path.parents)
            if lasting:
                _sync(draft)
            os.replace(draft, path)
            if lasting:
                _sync(path.parent)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` as :func:`atomic_file` does."""
    with atomic_file(path) as draft:
        draft.write_bytes(data)


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as JSON to ``path`` as :func:`atomic_file` does."""
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode())


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write ``tensors``, on any device, as safetensors to ``path`` as :func:`atomic_file` does."""
    from safetensors.torch import save_file  # imports torch, which recording does without

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_file(path) as draft:
        save_file(whole, draft, metadata)


@contextmanager
def atomic_folder(folder: str | Path, keep: Path | None = None) -> Iterator[Path]:
    """Give an empty draft folder; it takes the place of ``folder`` when the block ends.

    An error or a signal in the block removes the draft.

    Args:
        folder: the target; missing folders above it are made.
        keep: where the old folder goes, in place of what is there; it is removed if None. What
            is there is removed at the beginning, so that two folders need room and never three.

    Raises:
        WriteError: the disk is full or ``folder`` is not writable; an old folder is as it was.
    """
    folder = Path(folder).resolve()
    draft = draft_of(folder)
    with write_errors(folder):
        try:
            draft.mkdir(parents=True)
            if keep is not None:
                remove_folder(keep)
            yield draft
            replace_folder(draft, folder, keep)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def replace_folder(draft: Path, folder: Path, keep: Path | None = None) -> None:
    """Flush ``draft`` to the disk and put it in the place of ``folder``, in one step.

    Where the file system cannot exchange two folders, the old one has another name for a moment;
    :func:`recover_folder` finds it should the process die in that moment.

    Args:
        draft: a whole folder on the same disk.
        folder: the target; it need not exist.
        keep: a free place where the old folder goes; it is removed if None.

    Raises:
        OSError: ``draft`` or the target is on another disk, or not writable.
    """
    folder = folder.resolve()
    recover_folder(folder)
    _sync_tree(draft)
    if not folder.exists():
        os.replace(draft, folder)
        _sync(folder.parent)
        return
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "there is a file, and no folder, at this place")
    with held_signals():
        if not _exchange(draft, folder):
            _exchange_in_two_steps(draft, folder)
        _sync(folder.parent)
        if keep is not None:
            os.replace(draft, keep)
    shutil.rmtree(draft, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Bring back the old ``folder`` of a process that died while it replaced it.

    Call it before ``folder`` is opened; it does nothing where a folder is at its place.
    """
    if not folder.exists() and _aside(folder).is_dir():
        with suppress(FileNotFoundError):  # another process was faster
            os.replace(_aside(folder), folder)


def remove_folder(folder: Path) -> None:
    """Remove ``folder`` if it is there; nobody ever finds a part of it at its place."""
    draft = draft_of(folder)
    with suppress(OSError):
        os.replace(folder, draft)
        shutil.rmtree(draft, ignore_errors=True)


def draft_of(path: Path) -> Path:
    """Return a name beside ``path`` that nobody else uses, and that no pattern ``*.ext`` finds.

    What is left there by a process that was killed is removed by the next :class:`RunLock` of
    ``path``.
    """
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{DRAFT}")


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn errors of the disk into a :class:`WriteError` that names ``path``."""
    try:
        yield
    except WriteError as error:  # of a file in the folder ``path``
        raise WriteError(path, error.reason) from error
    except WorldGPTError:
        raise  # says already what is wrong
    except OSError as error:
        raise WriteError(path, error.strerror or str(error)) from error
    except SafetensorError as error:
        reason = str(error).rpartition("I/O error: ")[2].partition(" (os error")[0]
        raise WriteError(path, reason) from error


class RunLock:
    """A lock on the folder (or file) that a command writes; it dies with its process.

    The lock is the file ``.NAME.lock`` beside the target, held by ``flock``; who holds it removes
    the drafts that killed processes left.

    Example:
        >>> with RunLock(config.out):
        ...     train(config)

    Raises:
        LockedError: another process, or another call in this one, writes there.
        WriteError: the lock cannot be made: the place is not writable.
    """

    def __init__(self, folder: str | Path) -> None:
        """Name what is to be locked; nothing is written yet."""
        self.folder = Path(folder).resolve()
        self._file: int | None = None
        self._path = self.folder.with_name(f".{self.folder.name}.lock")

    def __enter__(self) -> RunLock:
        """Take the lock."""
        with write_errors(self.folder):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self.folder.is_dir() and not os.access(self._path.parent, os.W_OK):
                self._path = self.folder / ".lock"  # a folder of ours below one of others
            while self._file is None:
                self._file = self._open()
        self._sweep()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lock back."""
        assert self._file is not None
        with suppress(OSError):
            self._path.unlink()
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_UN)  # for children that share the file, too
        os.close(self._file)
        self._file = None

    def _open(self) -> int | None:
        """Return the open lock file, None if its last holder has just removed it."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file).st_nlink:
                os.truncate(file, 0)
                os.write(file, f"{os.getpid()}\n".encode())
                return file
        except BlockingIOError as error:
            pid = os.read(file, 32).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise LockedError(
                f"{self.folder} is being written by the process {pid}. Wait until it ends, or "
                "write to another place."
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                os.close(file)
                raise
            warnings.warn(
                f"the disk of {self.folder} has no locks: let one process at a time write there.",
                stacklevel=3,
            )
            return file
        os.close(file)
        return None

    def _sweep(self) -> None:
        """Remove what processes that were killed have left of unfinished files and folders."""
        own = _drafts_of("*", self.folder) if self.folder.is_dir() else []
        for draft in [*_drafts_of(self.folder.name, self.folder.parent), *own]:
            if draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                with suppress(OSError):
                    draft.unlink()


@contextmanager
def held_signals() -> Iterator[None]:
    """Let signals that stop the process wait until the block has ended.

    For the few lines that must not be cut in two. Outside the main thread, which alone is
    interrupted by signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Callable[[int, Any], Any]] = {}
    came: list[int] = []
    holding = True

    def handle(number: int, frame: Any) -> None:
        if holding:
            came.append(number)
        else:  # between the end of the block and the return of the old handler
            before[number](number, frame)

    try:
        for number in STOPPING:
            handler = signal.getsignal(number)
            if callable(handler):  # neither ignored, nor the end of the process at once
                before[number] = handler
                signal.signal(number, handle)
        yield
    finally:
        holding = False
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            before[came[0]](came[0], None)


def _drafts_of(name: str, folder: Path) -> list[Path]:
    """Return the drafts in ``folder`` of files or folders called ``name``, ``"*"`` for any."""
    found = folder.glob(f".*.{'[0-9a-f]' * 8}{DRAFT}")
    return [path for path in found if name in ("*", path.name[1:-15])]


def _aside(folder: Path) -> Path:
    """Return where a folder is while another one takes its place in two steps."""
    return folder.with_name(f".{folder.name}.before")


def _exchange(draft: Path, folder: Path) -> bool:
    """Exchange two folders in one step; False where the system or the disk cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = os.fsencode(draft), os.fsencode(folder)
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), str(folder))


def _exchange_in_two_steps(draft: Path, folder: Path) -> None:
    """Exchange two folders; between the steps ``folder`` is where :func:`_aside` says."""
    aside = _aside(folder)
    shutil.rmtree(aside, ignore_errors=True)  # of a process that died when it was of no use
    os.replace(folder, aside)
    try:
        os.replace(draft, folder)
    except OSError:
        recover_folder(folder)
        raise
    os.replace(aside, draft)


def _sync_tree(folder: Path) -> None:
    """Flush all files and folders of ``folder`` to the disk."""
    paths = [folder, *folder.rglob("*")]
    if len(paths) > _MANY:
        os.sync()
        return
    for path in paths:
        _sync(path)


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot flush a folder
            raise
    finally:
        os.close(file)
