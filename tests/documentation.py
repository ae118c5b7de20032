"""Reads the code blocks of a Markdown document and runs them as a reader would.

A block opens with three backticks and its language. ``python`` blocks run each in a fresh
interpreter, ``bash`` blocks in a shell that stops at the first error; all blocks of one document
run in order in one empty folder, so that a later block finds the files of an earlier one. The word
``long`` after the language leaves a block to ``make long``. A ``text`` block right behind a block
is what that block prints; a line ``...`` in it stands for any lines. Blocks that begin with
``make`` or ``pip`` run in the checkout, and pip only says what it would install.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import children

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
FENCE = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of a document.

    Attributes:
        document: the file that holds it.
        line: where its code starts, from 1.
        language: ``"python"`` or ``"bash"``.
        long: whether only ``make long`` runs it.
        code: its text.
        prints: what the document says that it prints, or None.
    """

    document: Path
    line: int
    language: str
    long: bool
    code: str
    prints: str | None

    @property
    def where(self) -> str:
        """``README.md:12``."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks_of(document: Path) -> Iterator[Block]:
    """Yield the runnable blocks of ``document`` in order."""
    text = document.read_text("utf-8")
    found = list(FENCE.finditer(text))
    for index, match in enumerate(found):
        language, flag, code = match.groups()
        if flag not in (None, "long"):
            raise ValueError(f"{document.name}: a block is flagged {flag!r}; there is only 'long'.")
        if language not in ("python", "bash"):
            continue
        after = found[index + 1] if index + 1 < len(found) else None
        shown = after and after[1] == "text" and not text[match.end() : after.start()].strip()
        yield Block(
            document=document,
            line=text.count("\n", 0, match.start(3)) + 1,
            language=language,
            long=flag == "long",
            code=code,
            prints=after[3] if after and shown else None,
        )


def run(block: Block, folder: Path, timeout: float | None = 300) -> str:
    """Run ``block`` in ``folder`` and return what it printed; a failure is an AssertionError."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = {
        "python": [sys.executable, "-c", block.code],
        "bash": ["bash", "-euo", "pipefail", "-c", block.code],
    }[block.language]
    done = children.run(
        command,
        timeout=timeout,
        cwd=ROOT if block.code.startswith(("make ", "pip ")) else folder,
        env={**os.environ, "PATH": tools, "PYTHONWARNINGS": "ignore", "PIP_DRY_RUN": "1"},
    )
    assert done.returncode == 0, f"{block.where} fails:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def matches(shown: str, printed: str) -> bool:
    """Return whether ``printed`` is what ``shown`` says; a line ``...`` stands for any lines."""
    parts = re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)
    pattern = r"(?:.*\n)*?".join(re.escape(part) for part in parts)
    return re.fullmatch(pattern, printed) is not None
