"""The ViZDoom process: started in its own folder, with sound, and never left behind."""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from ..errors import MissingDependencyError
from .world import WorldError

try:
    import vizdoom as vzd
except ImportError as error:
    raise MissingDependencyError(
        'the Doom worlds need ViZDoom; type: pip install "worldgpt-env[vizdoom]"'
    ) from error

SOUND_ADVICE = (
    "the game makes no sound, because no working OpenAL library was found. Type: "
    "pip install pyalsoft (on Python 3.11: pip install --ignore-requires-python --no-deps "
    "pyalsoft), or as root: apt-get install libopenal1."
)

_PREFIX = "worldgpt-doom-"

# What stands between this process and the game. The game writes files into its working folder,
# so it gets one of its own; it must die with us even when we are killed (PR_SET_PDEATHSIG = 1);
# and Ctrl-C in the terminal must stop the collector, not the game under it (setsid).
_LAUNCHER = """\
import ctypes, os, sys
os.setsid()
ctypes.CDLL(None).prctl(1, {kill}, 0, 0, 0)
if os.getppid() != {parent}:
    sys.exit(1)
os.chdir({folder!r})
with open("process.draft", "w") as file:
    print(os.getpid(), sys.argv[sys.argv.index("+viz_instance_id") + 1], file=file)
os.replace("process.draft", "process")
os.environ.update({environment!r})
os.execv({game!r}, [{game!r}, *sys.argv[1:]])
"""


def start(game: vzd.DoomGame) -> tempfile.TemporaryDirectory[str]:
    """Start the process of a configured ``game``.

    Returns:
        The folder of the process; hand it to :func:`stop`.

    Raises:
        WorldError: the process does not start.
    """
    _sweep()
    folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
    _write_launcher(Path(folder.name))
    game.set_vizdoom_path(str(Path(folder.name, "game")))
    game.set_doom_config_path(str(Path(folder.name, "doom.ini")))
    try:
        game.init()
    except Exception as error:
        stop(game, folder)
        raise WorldError(f"ViZDoom does not start here: {error}") from error
    finally:
        _restore_signal_handlers()
    return folder


def stop(game: vzd.DoomGame, folder: tempfile.TemporaryDirectory[str]) -> None:
    """End the process, by force if it does not go by itself, and remove its folder."""
    try:
        game.close()
    finally:
        _restore_signal_handlers()
        pid = _game_in(Path(folder.name))
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        folder.cleanup()


def check_sound(game: vzd.DoomGame) -> None:
    """Play a sound in a throw-away episode and listen.

    Without an OpenAL library the buffer is all zeros, with no error or warning.

    Raises:
        WorldError: nothing is heard; says what to install.
    """
    game.set_seed(0)
    game.new_episode()
    game.send_game_command("playsound weapons/pistol")
    for _ in range(4):
        game.make_action([0.0] * game.get_available_buttons_size(), 4)
        sound = getattr(game.get_state(), "audio_buffer", None)  # no state after the end
        if sound is not None and np.any(np.abs(sound.astype(np.int32)) > 1000):
            return
    raise WorldError(SOUND_ADVICE)


def _write_launcher(folder: Path) -> None:
    """Write the executable ``game`` into ``folder``."""
    environment = {"ALSOFT_CONF": str(folder / "alsoft.conf")}
    library = importlib.util.find_spec("pyalsoft")  # used as a file; it does not import on 3.11
    if library is not None and library.submodule_search_locations:
        native = os.path.join(library.submodule_search_locations[0], "_native")
        others = os.environ.get("LD_LIBRARY_PATH")
        environment["LD_LIBRARY_PATH"] = native + (os.pathsep + others if others else "")
    # Dither is random noise of one bit: without it the same seed sounds the same, bit for bit.
    (folder / "alsoft.conf").write_text("[general]\ndither = false\n")
    (folder / "launcher.py").write_text(
        _LAUNCHER.format(
            kill=int(signal.SIGKILL),
            parent=os.getpid(),
            folder=str(folder),
            environment=environment,
            game=os.path.join(os.path.dirname(vzd.__file__), "vizdoom"),
        )
    )
    python, launcher = shlex.quote(sys.executable), shlex.quote(str(folder / "launcher.py"))
    (folder / "game").write_text(f'#!/bin/sh\nexec {python} -I -S {launcher} "$@"\n')
    (folder / "game").chmod(0o700)


def _game_in(folder: Path) -> int | None:
    """Return the process id of the game that runs in ``folder``, if it still does."""
    try:
        pid = int((folder / "process").read_text().split()[0])
        running = os.readlink(f"/proc/{pid}/cwd") == os.path.realpath(folder)  # ids are used again
    except OSError:
        return None
    return pid if running else None


def _sweep() -> None:
    """Remove what games left whose parent was killed: a folder each, and 10 MB of shared memory."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if (folder / "process").exists() and _game_in(folder) is None:
            with contextlib.suppress(OSError, IndexError):
                instance = (folder / "process").read_text().split()[1]
                for memory in Path("/dev/shm").glob(f"ViZDoom*{glob.escape(instance)}"):
                    memory.unlink()
            shutil.rmtree(folder, ignore_errors=True)


def _restore_signal_handlers() -> None:
    """Give Ctrl-C and SIGTERM back to Python; ViZDoom takes both over at start and at the end."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler is not None:
                signal.signal(number, handler)
