"""The documents are true: every block runs and prints what is shown, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from documentation import DOCUMENTS, ROOT, Block, blocks_of, matches, run

FOLDERS = ("model", "worldgpt_env", "policies", "training")
DOCUMENTS_WITH_CODE = [path for path in DOCUMENTS if any(blocks_of(path))]


def name_of(path: Path) -> str:
    """Return the test id of a document."""
    return path.stem.lower()


def check(block: Block, folder: Path, timeout: float | None) -> None:
    """Run one block and compare what it prints with what the document shows."""
    printed = run(block, folder, timeout)
    if block.prints is not None:
        assert matches(block.prints, printed), f"{block.where} prints:\n{printed}"


@pytest.mark.parametrize("document", DOCUMENTS_WITH_CODE, ids=name_of)
def test_the_blocks_run_and_print_what_is_shown(document: Path, tmp_path: Path) -> None:
    for block in blocks_of(document):
        if not block.long:
            check(block, tmp_path, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS_WITH_CODE, ids=name_of)
def test_the_long_blocks_run_too(document: Path, tmp_path: Path) -> None:
    for block in blocks_of(document):
        check(block, tmp_path, timeout=None)


def test_a_block_that_prints_something_else_is_caught() -> None:
    assert matches("a\nb\n", "a\nb\n")
    assert matches("a\n...\nd\n", "a\nb\nc\nd\n")
    assert not matches("a\nb\n", "a\nc\n")
    assert not matches("a\n", "a\nb\n")


def long_commands() -> list[tuple[str, list[str]]]:
    """Return ``(where, arguments)`` of every ``worldgpt`` command that only ``make long`` runs."""
    found = []
    for document in DOCUMENTS_WITH_CODE:
        for block in blocks_of(document):
            if block.language == "bash" and block.long:
                for line in block.code.replace("\\\n", " ").splitlines():
                    words = shlex.split(line, comments=True)
                    if words[:1] == ["worldgpt"]:
                        found.append((block.where, words[1:]))
    return found


def test_the_long_commands_have_the_right_options() -> None:
    """Cheap guard for what the fast suite does not run: the command line accepts each of them."""
    from worldgpt_env.training.cli import build_parser

    commands = long_commands()
    assert commands
    for where, arguments in commands:
        try:
            build_parser().parse_args(arguments)
        except SystemExit as refused:
            pytest.fail(f"{where}: worldgpt {' '.join(arguments)} is refused ({refused.code})")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_the_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text("utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_file_map_names_every_file_and_no_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"^\| `([\w/.]+\.py)` \| \S", text, re.MULTILINE))
    there = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert named - {f"{folder}/__init__.py" for folder in FOLDERS} == there


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_lines_of_prose_are_short(document: Path) -> None:
    """Rows of tables and what a program prints cannot be wrapped; all other lines can."""
    prose = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.M | re.S)
    long = [line for line in prose.splitlines() if len(line) > 120 and not line.startswith("|")]
    assert not long, f"{document.name}: {long}"


def test_no_figure_is_left_open() -> None:
    for document in DOCUMENTS:
        assert "(pending)" not in document.read_text("utf-8"), document.name
