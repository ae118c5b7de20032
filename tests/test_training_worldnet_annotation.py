"""Annotations: the authors' format is read and written; what is damaged is named, never guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldgpt_env.training.worldnet.format.annotation import (
    StateFiles,
    WorldNetError,
    WorldNetTransition,
    read_annotations,
    write_annotations,
)

AUTHORS = """[
  {
    "state0": {
      "video": "00001_state0.mp4",
      "audio": "00001_state0.wav",
      "image": "00001_state0.jpg",
      "text": ""
    },
    "state1": {
      "video": "00001_state1.mp4",
      "audio": "00001_state1.wav",
      "image": "00001_state1.jpg",
      "text": ""
    },
    "action": {
      "text": "adjust the mold"
    }
  }
]"""


def item(**changes: Any) -> dict[str, Any]:
    """Return a whole row with some keys replaced."""
    state = {"image": "a.jpg", "video": "", "audio": "", "text": ""}
    return {"state0": state, "state1": state, "action": {"text": "go"}} | changes


def read(tmp_path: Path, content: Any):
    path = tmp_path / "train.json"
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_annotations(path)


def test_the_example_of_the_authors_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, AUTHORS)
    assert not found.rejected
    assert found.transitions == [
        WorldNetTransition(
            StateFiles("00001_state0.jpg", "00001_state0.mp4", "00001_state0.wav"),
            StateFiles("00001_state1.jpg", "00001_state1.mp4", "00001_state1.wav"),
            "adjust the mold",
        )
    ]
    assert found.transitions[0].state0.modalities == ("image", "video", "audio")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    written = [
        WorldNetTransition(
            StateFiles(text="a “quoted” dot ü", vector=(0.1, -3.0)),
            StateFiles(image="image/x.png"),
            "go",
            "day",
            "e1",
            7,
            -0.5,
            True,
        )
    ]
    write_annotations(tmp_path / "train.json", written)
    assert read_annotations(tmp_path / "train.json").transitions == written
    assert [path.name for path in tmp_path.iterdir()] == ["train.json"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (7, "a number instead of an object"),
        (item(state0=None), "nothing as 'state0'"),
        ({"state0": {}, "action": {"text": "go"}}, "nothing as 'state1'"),
        (item(state1=["a.jpg"]), "a list as 'state1'"),
        (item(state0={"image": 3}), "a number as 'image' of 'state0'"),
        (item(state0={"image": None}), "nothing as 'image' of 'state0'"),
        (item(state0={"imgae": "a.jpg"}), "unknown keys ['imgae']"),
        (item(state0={"image": "", "text": ""}), "an empty 'state0'"),
        (item(state0={"vector": [1, "2"]}), "a text in the vector"),
        (item(state0={"vector": [True]}), "true or false in the vector"),
        (item(state0={"vector": 3}), "a number as 'vector'"),
        (item(action={"text": " "}), "an action without text"),
        (item(action="go"), "a text as 'action'"),
        (item(step=-1), "the step -1"),
        (item(step=1.5), "the step 1.5"),
        (item(terminated=1), "1 as 'terminated'"),
        (item(reward="much"), "a text in the reward"),
        (item(scenario=[]), "a list as 'scenario'"),
        ('{"state0": {"image": "a", "image": "b"}}', "the key 'image' twice"),
        ('{"state0": {"vector": [NaN]}}', "NaN"),
        (f'{{"state0": {{"vector": [{"9" * 5000}]}}}}', "Exceeds the limit"),
        ('{"state0": {"text": "\\ud800"}, "state1": {}, "action": {"text": "go"}}', "no UTF-8"),
    ],
)
def test_a_broken_row_is_rejected_and_the_rest_is_kept(
    tmp_path: Path, broken: Any, reason: str
) -> None:
    text = broken if isinstance(broken, str) else json.dumps(broken)
    found = read(tmp_path, f"[{json.dumps(item())},\n {text},\n {json.dumps(item(step=2))}]")
    assert [row.step for row in found.transitions] == [0, 2]
    assert found.rows == [0, 2]
    (rejected,) = found.rejected
    assert (rejected.source, rejected.row) == (str(tmp_path / "train.json"), 1)
    assert reason in rejected.reason


def test_bytes_that_are_no_text_spoil_one_row(tmp_path: Path) -> None:
    rows = [json.dumps(item(scenario=name)).encode() for name in ("one", "two", "three")]
    found = read(tmp_path, b"[" + b",".join(rows).replace(b'"two"', b'"\xff\xfe"') + b"]")
    assert found.rows == [0, 2]
    assert "no UTF-8" in found.rejected[0].reason


@pytest.mark.parametrize("text", ["", "{}", "null", '"[]"', "[", "\x00", "7"])
def test_a_file_that_is_no_list_is_one_error_or_one_rejection(tmp_path: Path, text: str) -> None:
    try:
        found = read(tmp_path, text)
    except WorldNetError as error:
        assert "is no list of transitions" in str(error)
    else:
        assert not found.transitions and found.rejected


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorldNetError, match=r"none\.json cannot be read: No such file"):
        read_annotations(tmp_path / "none.json")


def test_depth_does_not_crash(tmp_path: Path) -> None:
    found = read(tmp_path, f"[{json.dumps(item())}, {'[' * 100_000}")
    assert len(found.transitions) == 1 and len(found.rejected) == 1


def test_a_truncated_file_is_noticed_wherever_it_ends(tmp_path: Path) -> None:
    rows = [item(step=n) for n in range(4)]
    text = "[" + ",\n ".join(map(json.dumps, rows)) + "]"
    for end in range(1, len(text) - 1):
        found = read(tmp_path, text[:end])
        assert found.rejected, end
        assert [row.step for row in found.transitions] == list(range(len(found.transitions)))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_costs_two_rows_at_most_or_leaves_valid_json(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    """Inside a name or a number it leaves valid JSON: only the hash of a sealed folder sees it."""
    tmp_path = tmp_path_factory.mktemp("flip")
    data = bytearray(json.dumps([item(step=n, scenario="abc") for n in range(5)]).encode())
    data[place % len(data)] ^= change
    try:
        found = read(tmp_path, bytes(data))
    except WorldNetError:
        assert place % len(data) == 0  # the bracket of the list
        return
    assert len(found.transitions) >= 3
    assert found.rejected or len(found.transitions) == 5
