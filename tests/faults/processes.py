"""Commands of ``worldgpt`` in processes of their own, and what is left of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CODES = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
"""Exit codes of a stopped command."""


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    said: str
    orphans: list[int]


class Zygote:
    """Starts commands within milliseconds, see ``zygote.py``."""

    def __init__(self, folder: Path) -> None:
        """Start the process that is forked."""
        self.folder, self.started = folder, 0
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def start(
        self,
        argv: list[Any],
        *,
        at: int | None = None,
        number: int = signal.SIGKILL,
        two_steps: bool = False,
        limit: int | None = None,
        trace: str = "",
        terminal: str = "",
        nohup: bool = False,
    ) -> int:
        """Start a command and return its process id; the rest is told in ``zygote.py``."""
        self.started += 1
        request = {
            "argv": [str(part) for part in argv],
            "output": str(self.folder / f"{self.started}.txt"),
            "at": at,
            "number": int(number),
            "two_steps": two_steps,
            "limit": limit,
            "trace": trace,
            "terminal": terminal,
            "nohup": nohup,
        }
        return self._ask(request)

    def wait(self, pid: int, output: int | None = None) -> Result:
        """Wait for the end of a command; ``output`` is its number, the last one by default."""
        code = self._ask({"wait": pid})
        path = self.folder / f"{output or self.started}.txt"  # not there where it had a terminal
        said = path.read_text() if path.exists() else ""
        return Result(code, said, left_in_session(pid))

    def run(self, argv: list[Any], **faults: Any) -> Result:
        """Run a command to its end."""
        return self.wait(self.start(argv, **faults))

    def stop(self, argv: list[Any], number: int, seconds: float, **faults: Any) -> Result:
        """Run a command, and send it a signal after some seconds unless it has ended."""
        pid = self.start(argv, **faults)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and _lives(pid):
            time.sleep(min(0.01, max(deadline - time.monotonic(), 0)))
        if _lives(pid):
            os.kill(pid, number)
        return self.wait(pid)

    def _ask(self, request: dict[str, Any]) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        return int(self._process.stdout.readline())


def left_in_session(session: int) -> list[int]:
    """Return the processes of a session that still live a second after its leader has ended."""
    for _ in range(20):
        left = [pid for pid, own in _sessions() if own == session]
        if not left:
            return []
        time.sleep(0.05)
    return left


def _sessions() -> list[tuple[int, int]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                found.append((int(entry.name), int(fields[3])))
    return found


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
