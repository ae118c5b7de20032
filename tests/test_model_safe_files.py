"""JSON and tensors from disk: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from worldgpt_env.model.bounds import check_fields, from_fields
from worldgpt_env.model.errors import CheckpointError, ConfigurationError, KnowledgeError
from worldgpt_env.model.memory_limit import MemoryLimit, no_memory_limit
from worldgpt_env.model.safe_json import Fields, finite, parse_json, read_json, shorten
from worldgpt_env.model.safe_tensors import (
    is_finite,
    read_tensors,
    read_tensors_and_texts,
    save_tensors,
)

# JSON -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ['{"a": [1, -2.5e3, "é", null, true, {"b": []}]}', ' {"seed": 340282366920938463463374607} ',
     '{"a": "\\ud83d\\ude00"}', "{}"],
)  # fmt: skip
def test_what_is_json_is_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    assert read_json(tmp_path / "a.json") == json.loads(text)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"  \n", "it is empty"),
        (b"[1]", "it is a list instead of an object"),
        (b"3", "it is a number instead of an object"),
        (b'{"a": 1', "it is truncated or damaged: Expecting"),
        (b'{"a": 1}x', "it is truncated or damaged: Extra data"),
        (b'{"a": "\xff"}', "it is not UTF-8 from byte 7 on"),
        ('{"a": 1}'.encode("utf-16"), "it is not UTF-8 from byte 0 on"),
        (b'\xef\xbb\xbf{"a": 1}', "it starts with a byte-order mark"),
        (b'{"a": 1, "a": 2}', "it has the key 'a' twice"),
        (b'{"a": NaN}', "it holds NaN, which is no number of JSON"),
        (b'{"a": -Infinity}', "it holds -Infinity"),
        (b'{"a": 1e999}', "it holds the number '1e999', which is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "it holds a whole number of 5000 digits"),
        (b"[" * 300_000, "it is nested more than 32 deep"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "it is nested more than 32 deep"),
        (b'{"a": "\\ud800"}', "it holds a character that is none"),
        (b" " * (2**24 + 1), "it has over 16777216 bytes"),
    ],
)
def test_what_is_not_is_told(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as error:
        read_json(path, "Copy it again.")
    told = str(error.value)
    assert told.startswith(f"{path} cannot be read: ") and told.endswith(" Copy it again.")
    assert said in told and "\n" not in told and len(told) < 300


def test_only_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # nobody ever writes to it
    with pytest.raises(CheckpointError, match="it is no file"):
        read_json(tmp_path / "pipe")
    with pytest.raises(KnowledgeError, match="it is not there. Build it."):
        read_json(tmp_path / "nothing", "Build it.", KnowledgeError)


def test_figures_may_hold_what_is_none() -> None:
    assert parse_json(b'{"a": NaN, "b": [Infinity]}', figures=True) == {"a": None, "b": [None]}
    assert finite({"a": (float("nan"), 1.5), 2: True}) == {"a": [None, 1.5], "2": True}


def test_fields_have_kinds_and_ranges() -> None:
    told = Fields({"n": 3, "x": 0.5, "s": "ab", "f": True, "l": ["a"], "d": {"n": 1}}, "a.json")
    assert told.whole("n", 0, 3) == 3 and told.number("x", 0, 1) == 0.5 and told.flag("f") is True
    assert told.text("s", pattern="[a-b]+") == "ab" and told.texts("l") == ["a"] and "q" not in told
    assert told.part("d").whole("n", 1, 1) == 1 and told.choice("n", [2, 3]) == 3
    refusals: list[tuple[Any, str]] = [
        (lambda: told.whole("n", 4, 9), "a.json has the 'n' 3; it must be a whole number from 4"),
        (lambda: told.whole("f", 0, 9), "has the 'f' True; it must be a whole number"),
        (lambda: told.whole("x", 0, 9), "has the 'x' 0.5; it must be a whole number"),
        (lambda: told.number("s", 0, 9), "has the 's' 'ab'; it must be from 0 to 9"),
        (lambda: told.text("n"), "has the 'n' 3; it must be a text"),
        (lambda: told.text("s", pattern="[0-9]+"), "it must be a text of up to 4096 characters"),
        (lambda: told.part("l"), "has the 'l' \\['a'\\]; it must be an object"),
        (lambda: told.part("d").texts("n"), "a.json: 'd' has the 'n' 1; it must be a list"),
        (lambda: told.choice("f", [1]), "it must be one of \\[1\\]"),
        (lambda: told.whole("q", 0, 1), "a.json has no 'q'"),
    ]
    for ask, said in refusals:
        with pytest.raises(CheckpointError, match=said):
            ask()


def test_what_is_shown_is_short() -> None:
    assert shorten({"a": 1}) == "{'a': 1}" and len(shorten("x" * 10**6)) == 60
    assert shorten("a\nb") == "'a\\nb'" and shorten(10**5000) == "a int"


# configurations ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """A configuration."""

    width: int
    rate: float = 0.5
    name: str = ""
    deep: bool = False
    most: int | None = None

    def __post_init__(self) -> None:
        check_fields(self, width=(1, 8), rate=(0, 1))


def test_every_field_of_a_configuration_has_a_range() -> None:
    assert from_fields(Sizes, {"width": 8, "rate": 1}, "sizes") == Sizes(8, 1)
    wrong: list[tuple[Any, str]] = [
        ({"width": 9}, "Sizes.width is 9; it must be a whole number from 1 to 8"),
        ({"width": 0}, "Sizes.width is 0"),
        ({"width": 1.0}, "Sizes.width is 1.0; it must be a whole number"),
        ({"width": True}, "Sizes.width is True"),
        ({"width": "8"}, "Sizes.width is '8'"),
        ({"width": 10**400}, "Sizes.width is 1000"),
        ({"width": 1, "rate": float("nan")}, "Sizes.rate is nan; it must be a number from 0 to 1"),
        ({"width": 1, "rate": None}, "Sizes.rate is None"),
        ({"width": 1, "name": 5}, "Sizes.name is 5; it must be a text"),
        ({"width": 1, "name": "x" * 5000}, "Sizes.name is 'xxx"),
        ({"width": 1, "deep": 1}, "Sizes.deep is 1; it must be true or false"),
        ({"width": 1, "most": -1}, "Sizes.most is -1; it must be a whole number from 0"),
        ({}, "the fields of sizes do not fit: \\['width'\\] are missing"),
        ({"width": 1, "height": 2}, "\\['height'\\] unknown"),
        ([1], "sizes is \\[1\\]; it must be an object"),
    ]
    for fields, said in wrong:
        with pytest.raises(ConfigurationError, match=said):
            from_fields(Sizes, fields, "sizes")


# tensors ----------------------------------------------------------------------------------------

TENSORS = {
    "a": torch.arange(12.0).view(3, 4),
    "b": torch.arange(5),
    "flag": torch.tensor(True),
    "none": torch.zeros(0, 3),
    "half": torch.tensor([1.5, -2.0]).bfloat16(),
}


def equal(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == TENSORS.keys() and all(
        part.dtype == TENSORS[name].dtype and torch.equal(part, TENSORS[name])
        for name, part in found.items()
    )


def test_no_flipped_bit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, TENSORS, {"why": "a test"})
    whole, harmless = path.read_bytes(), 0
    found, texts = read_tensors_and_texts(path)
    assert equal(found) and texts == {"why": "a test"}
    for place in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            assert equal(read_tensors(path)), place  # blanks behind the header, the key of the sum
            harmless += 1
        except CheckpointError as error:
            assert str(path) in str(error) and "\n" not in str(error)
    assert harmless < len(whole) // 4


def test_the_same_tensors_are_the_same_bytes(tmp_path: Path) -> None:
    for name, sealed in (("a", False), ("b", False), ("c", True), ("d", True)):
        save_tensors(tmp_path / name, TENSORS, None if sealed else {"x": "y", "z": "é"}, sealed)
    files = [(tmp_path / name).read_bytes() for name in "abcd"]
    assert files[0] == files[1] != files[2] == files[3]
    assert b'"format":"pt"' in files[2]  # what other libraries look for


def test_files_without_a_checksum_are_read(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "old", {"encoder": "clip"})
    found, texts = read_tensors_and_texts(tmp_path / "old")
    assert equal(found) and texts == {"encoder": "clip"}
    save_file(TENSORS, tmp_path / "older")
    assert equal(read_tensors(tmp_path / "older"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_no_tensor_holds_nan_or_infinity(dtype: torch.dtype, value: str, tmp_path: Path) -> None:
    tensor = torch.ones(3, 700, dtype=dtype)
    assert is_finite(tensor)
    tensor[1, 333] = float(value)
    assert not is_finite(tensor)
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"ok": torch.ones(2), "part/x": tensor})
    with pytest.raises(CheckpointError, match="holds NaN or infinity in 'part/x'. Train it again."):
        read_tensors(path, "Train it again.")
    assert read_tensors(path, unchecked=["part"])["part/x"].shape == (3, 700)


def test_only_files_hold_tensors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("pipe", "it is no file"), ("nothing", "it is not there")):
        with pytest.raises(CheckpointError, match=said):
            read_tensors(tmp_path / name)
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(CheckpointError, match="cannot be read: .*header.* Copy it again."):
        read_tensors(tmp_path / "text")


def test_what_is_read_is_what_was_written_by_others(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", TENSORS)
    assert equal(load_file(tmp_path / "a"))


# memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.Linear(10**6, 10**6),
        lambda: torch.zeros(10**15, 10**15),
        lambda: torch.ones((10**9, 10**9), dtype=torch.bool),
        lambda: torch.full(size=(10**7, 10**3), fill_value=1.0),
        lambda: torch.arange(10**13),
        lambda: torch.nn.Embedding(10**9, 10**3),
        lambda: [torch.nn.Linear(2, 2) for _ in range(10**6)],
    ],
)
def test_nothing_is_made_beyond_the_limit(make: Any) -> None:
    with pytest.raises(ConfigurationError, match="asks for more than 268835456 bytes of weights"):
        with MemoryLimit(100_000):
            make()


def test_what_fits_the_limit_is_made_as_without_it() -> None:
    torch.manual_seed(3)
    plain = torch.nn.TransformerDecoderLayer(16, 2, 32)
    torch.manual_seed(3)
    with MemoryLimit(0):
        limited = torch.nn.TransformerDecoderLayer(16, 2, 32)
        assert torch.rand(2, generator=torch.Generator().manual_seed(0)).shape == (2,)
        with torch.device("meta"):
            assert torch.zeros(10**6, 10**6).is_meta  # takes no memory
        with no_memory_limit():
            assert torch.zeros(2**27, dtype=torch.uint8).numel() == 2**27
    for one, other in zip(plain.parameters(), limited.parameters(), strict=True):
        assert torch.equal(one, other)
