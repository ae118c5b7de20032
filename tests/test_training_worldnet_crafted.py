"""Crafted: small annotation files in the real schema of five data sets, and small recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_recordings import SOUND_RATE, make_stream

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.training.cli import main
from worldgpt_env.training.worldnet.builders.converters import DATASETS
from worldgpt_env.training.worldnet.builders.crafted import CraftedConfig, build_crafted
from worldgpt_env.training.worldnet.builders.scenarios import SCENARIOS, Sorter, by_words
from worldgpt_env.training.worldnet.builders.splits import SplitShares
from worldgpt_env.training.worldnet.format.annotation import WorldNetError, WorldNetTransition
from worldgpt_env.training.worldnet.format.folder import WorldNetFolder
from worldgpt_env.training.worldnet.format.media import read_audio

ALL_TRAIN = SplitShares(0, 0)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of 12 seconds: ``one.mp4`` to ``four.mp4``, the last in a folder below."""
    root = tmp_path_factory.mktemp("media")
    for seed, name in enumerate(("one", "two", "three", "deep/four")):
        make_stream(seed, seconds=12).write(root / f"{name}.mp4")
    return root


def build(
    tmp_path: Path, media: Path, dataset: str, data: Any, name: str = "a.json", **options: Any
) -> tuple[dict[str, Any], list[WorldNetTransition], dict[int, str]]:
    """Write ``data`` as an annotation file and build; return figures, rows and reasons."""
    path = tmp_path / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    out = tmp_path / "out"
    config = CraftedConfig(
        dataset, (str(path),), str(media), str(out), **{"shares": ALL_TRAIN, **options}
    )
    figures = build_crafted(config)
    folder = WorldNetFolder.open(out)
    rows = [row for split in folder.splits for row in folder.annotations(split).transitions]
    lines = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    return figures, rows, {line["row"]: line["reason"] for line in lines}


def test_something_something(tmp_path: Path, media: Path) -> None:
    template = {"template": "Pushing [something]", "placeholders": ["cup"]}
    data = [
        {"id": "one", "label": "pushing towel from left to right", **template},
        {"id": "gone", "label": "tearing paper", **template},
        {"id": "two"},  # a row of a test set
        {"id": "three", "label": "holding potato next to vicks vaporub bottle", **template},
    ]
    figures, rows, reasons = build(tmp_path, media, "ssv2", data)
    assert [row.action for row in rows] == ["pushing towel from left to right"]
    assert rows[0].state0.image and not rows[0].state0.video and not rows[0].state0.audio
    assert rows[0].scenario == "domestic work" and rows[0].episode == "one.mp4"
    assert "gone: is no recording" in reasons[1] and "test sets" in reasons[2]
    assert "none of the scenarios" in reasons[3]
    assert figures["found"] == 4 and figures["rejected"] == 3


def youcook(steps: dict[str, list[tuple[float, float, str]]]) -> dict[str, Any]:
    return {
        "database": {
            video: {
                "duration": 12.0,
                "subset": "training",
                "recipe_type": "113",
                "video_url": f"https://www.youtube.com/watch?v={video}",
                "annotations": [
                    {"segment": [start, end], "id": number, "sentence": sentence}
                    for number, (start, end, sentence) in enumerate(told)
                ],
            }
            for video, told in steps.items()
        }
    }


def test_youcook2_keeps_the_order_and_shares_states(tmp_path: Path, media: Path) -> None:
    steps = [(6, 9, "flip the bread"), (1, 4, "butter the bread"), (4, 6, "put it in the pan")]
    figures, rows, _ = build(tmp_path, media, "youcook2", youcook({"four": steps}))
    assert [row.action for row in rows] == [
        "butter the bread", "put it in the pan", "flip the bread",
    ]  # fmt: skip
    assert [row.step for row in rows] == [0, 1, 2]
    assert rows[0].state1 == rows[1].state0 and rows[1].state1 == rows[2].state0
    assert rows[0].state0.video and not rows[0].state0.audio
    assert figures["scenarios"] == {"cooking": 3} and rows[0].episode == "deep/four.mp4"


def test_actions_that_do_not_touch_share_nothing(tmp_path: Path, media: Path) -> None:
    steps = [(1, 4, "butter the bread"), (5, 7, "fry it")]
    _, rows, _ = build(tmp_path, media, "youcook2", youcook({"one": steps}))
    assert rows[0].state1.image != rows[1].state0.image and [r.step for r in rows] == [0, 1]


def test_filters_and_the_end_of_a_recording(tmp_path: Path, media: Path) -> None:
    steps = [(0, 0.2, "too short"), (1, 90, "clipped to the end"), (13, 15, "after the end")]
    _, rows, reasons = build(tmp_path, media, "youcook2", youcook({"one": steps}))
    assert [row.action for row in rows] == ["clipped to the end"]
    assert "less than 0.5 s" in reasons[0] and "after the recording's 12.0 s" in reasons[2]


def test_ego4d_narrations_last_until_the_next(tmp_path: Path, media: Path) -> None:
    def narration(second: float, text: str) -> dict[str, Any]:
        return {
            "timestamp_sec": second, "timestamp_frame": int(30 * second), "narration_text": text,
            "annotation_uid": "u",
        }  # fmt: skip

    told = [
        narration(1.0, "#C C cuts the onion"),
        narration(3.0, "#O a man X washes the pan"),
        narration(6.0, "#unsure something"),
        narration(8.0, "#C C stirs the soup"),
    ]
    passes = {"narration_pass_1": {"narrations": told, "summaries": []}}
    for number, data in enumerate(({"one": passes}, {"videos": {"one": passes}})):
        where = tmp_path / str(number)
        where.mkdir()
        figures, rows, reasons = build(where, media, "ego4d", data)
        assert [row.action for row in rows] == [
            "cuts the onion", "a man x washes the pan", "stirs the soup",
        ]  # fmt: skip
        assert rows[0].state1 == rows[1].state0 and rows[1].state1 != rows[2].state0
        assert "not sure" in reasons[2] and figures["scenarios"] == {"cooking": 3}
        assert rows[0].state0.audio


def test_ego4d_hand_object_actions(tmp_path: Path, media: Path) -> None:
    def action(start: float, end: float, text: str, **more: Any) -> dict[str, Any]:
        told = {"uid": "u", "start_sec": start, "end_sec": end, "narration_text": text}
        return {**told, "is_rejected": False, "critical_frames": None, **more}

    actions = [
        action(1, 3, "#C C hammers the nail"),
        action(3, 5, "#C C drops the nail", is_rejected=True),
        action(5, 8, "#C C paints the wall"),
    ]
    interval = {"start_sec": 0, "end_sec": 12, "narrated_actions": actions}
    data = {"version": "1", "videos": [{"video_uid": "two", "annotated_intervals": [interval]}]}
    figures, rows, reasons = build(tmp_path, media, "ego4d", data)
    assert [row.action for row in rows] == ["hammers the nail", "paints the wall"]
    assert "refused by its annotator" in reasons[1] and figures["scenarios"] == {"labor": 2}


def test_charades(tmp_path: Path, media: Path) -> None:
    (tmp_path / "Charades_v1_classes.txt").write_text(
        "c092 Watching television\nc147 Holding a book/notebook\n"
    )
    table = (
        "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
        'one,AB1,Living room,6,7,Yes,"A person watches, and reads.",book;television,text,'
        "c092 2.00 5.00;c147 0.00 3.50,12.00\n"
        "two,AB2,Bedroom,6,7,Yes,Someone sits.,bed,text,,12.00\n"
        "three,AB3,Bedroom,6,7,Yes,Someone sits.,bed,text,c999 1 2,12.00\n"
    )
    figures, rows, reasons = build(tmp_path, media, "charades", table, "Charades_v1_train.csv")
    assert [row.action for row in rows] == ["holding a book", "watching television"]
    assert figures["scenarios"] == {"entertainment": 2}
    assert reasons[2] == "has no action" and "c999 1 2" in reasons[3]


def test_avqa_tells_what_happens(tmp_path: Path, media: Path) -> None:
    def question(video: str, kind: str, answer: int) -> dict[str, Any]:
        return {
            "id": 1, "video_name": video, "video_id": 7, "question_text": "What happens?",
            "multi_choice": ["a dog barks", "men play basketball"], "answer": answer,
            "question_relation": "Both", "question_type": kind,
        }  # fmt: skip

    data = [
        question("one", "Happening", 1),
        question("two", "Where", 0),
        question("three", "Happening", 5),
        question("three", "Before Next", 0),
    ]
    figures, rows, reasons = build(tmp_path, media, "avqa", data)
    assert [row.action for row in rows] == ["men play basketball", "a dog barks"]
    assert figures["scenarios"] == {"sports": 1, "outdoor activity": 1}
    assert "'Where'" in reasons[1] and "no answer" in reasons[2]


def test_a_scenario_that_nothing_tells_is_rejected(tmp_path: Path, media: Path) -> None:
    told = [{"timestamp_sec": 1.0, "narration_text": "#C C cuts the onion"}]
    vague = [{"timestamp_sec": 1.0, "narration_text": "#C C looks around"}]
    data = {
        "one": {"narration_pass_1": {"narrations": told}},
        "two": {"narration_pass_1": {"narrations": vague}},
    }
    _, rows, reasons = build(tmp_path, media, "ego4d", data)
    assert len(rows) == 1 and "none of the scenarios" in reasons[1]


@pytest.mark.parametrize("dataset", [*DATASETS])
@pytest.mark.parametrize("data", ['{"nothing": 1}', "3", "no json", "[[", ""])
def test_files_of_another_kind_are_named(
    tmp_path: Path, media: Path, dataset: str, data: str
) -> None:
    (tmp_path / "Charades_v1_classes.txt").write_text("c092 Watching television\n")
    with pytest.raises(WorldNetError, match=r"a\.json (is no|would|cannot)"):
        build(tmp_path, media, dataset, data)
    assert not (tmp_path / "out").exists()


def test_no_recording_is_in_two_splits(tmp_path: Path, media: Path) -> None:
    steps = {
        video: [(s, s + 2, f"cut piece {s}") for s in range(0, 10, 2)]
        for video in ("one", "two", "three", "four")
    }
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(json.dumps(youcook(steps)))
    second.write_text(json.dumps(youcook({v: [(1, 5, "look at it")] for v in steps})))
    out = tmp_path / "out"
    build_crafted(
        CraftedConfig(
            "youcook2",
            (str(first), str(second)),
            str(media),
            str(out),
            shares=SplitShares(0.25, 0.25),
        )
    )
    folder = WorldNetFolder.open(out)
    rows = {split: folder.annotations(split).transitions for split in folder.splits}
    of = [{row.episode for row in part} for part in rows.values()]
    assert set(rows) == {"train", "test", "knowledge"}
    assert sum(map(len, of)) == len(set.union(*of)) == 4
    assert sum(map(len, rows.values())) == 24, "all of both files"


def test_the_sound_of_a_state_is_that_before_it(tmp_path: Path, media: Path) -> None:
    told = [
        {"timestamp_sec": 4.0, "narration_text": "#C C cuts the onion"},
        {"timestamp_sec": 6.0, "narration_text": "#C C cuts the bread"},
    ]
    data = {"one": {"narration_pass_1": {"narrations": told}}}
    _, rows, _ = build(tmp_path, media, "ego4d", data)
    whole = read_audio(media, "one.wav").samples
    heard = read_audio(tmp_path / "out", rows[0].state1.audio).samples  # at 16 kHz
    wanted = whole[5 * SOUND_RATE : 6 * SOUND_RATE]
    assert heard.shape == (16_000, 1)
    assert np.abs(heard[::2][100:-100] - wanted[100:-100]).max() < 0.02


def test_the_command_line(tmp_path: Path, media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(youcook({"one": [(1, 4, "butter the bread")]})))
    files = ["--annotations", str(path), "--media", str(media), "--out", str(tmp_path / "out")]
    more = ["--test", "0", "--knowledge", "0", "--frames", "3", "--json", str(tmp_path / "f.json")]
    assert main(["worldnet", "build", "crafted", "--dataset", "youcook2", *files, *more]) == 0
    assert "cooking" in capsys.readouterr().out
    assert json.loads((tmp_path / "f.json").read_text())["splits"] == {"train": 1}
    specs = WorldNetFolder.open(tmp_path / "out").description
    assert specs and specs.specs[Modality.VIDEO].shape == (3, 64, 64, 3)


def test_key_words() -> None:
    assert len(SCENARIOS) == 6
    assert by_words(["he chops the onion", "and plays guitar", "in the kitchen"]) == "cooking"
    assert by_words(["nothing of note"]) == ""


def test_a_sorter_names_the_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    class Chat:
        def __init__(self, name: str) -> None:
            assert name == "some/model"

        def answer(self, question: str) -> str:
            assert "outdoor activity" in question
            return "It is Sports." if "racket" in question else "I cannot tell"

    monkeypatch.setattr(
        "worldgpt_env.training.worldnet.builders.captioners.TransformersRewriter", Chat
    )
    sort = Sorter("some/model")
    assert sort(["she lifts the racket"]) == "sports" and sort(["he waits"]) == ""


def test_unknown_data_sets_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="choose from ssv2"):
        CraftedConfig("kinetics", (), "", "")
