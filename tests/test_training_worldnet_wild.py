"""Wild: recordings are cut, told by their words or a model, filtered with reasons, and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_recordings import Stream, make_stream

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality, VectorSpec
from worldgpt_env.training.cli import main
from worldgpt_env.training.worldnet.builders.captioners import (
    TransformersCaptioner,
    TransformersRewriter,
)
from worldgpt_env.training.worldnet.builders.captions import RecordedWords, RecordingWords
from worldgpt_env.training.worldnet.builders.filters import FilterConfig, plain
from worldgpt_env.training.worldnet.builders.footage import Footage
from worldgpt_env.training.worldnet.builders.wild import WildConfig, build_wild
from worldgpt_env.training.worldnet.format.annotation import WorldNetError
from worldgpt_env.training.worldnet.format.folder import WorldNetFolder
from worldgpt_env.training.worldnet.format.load import load_worldnet

NUMBERS = VectorSpec(("second",), (0.0,), (60.0,))


def write_words(stream: Stream, path: Path, action: str = "the square moves") -> None:
    """Tell a state each second, an action each half second and a reward at 10 s."""
    seconds = len(stream.frames) // 10
    words = RecordingWords(
        "toys",
        [(float(s), f"second {s}", (float(s),)) for s in range(seconds)],
        [(s / 2, s / 2 + 0.5, action) for s in range(2 * seconds)],
        [(10.0, 1.0)],
        NUMBERS,
    )
    path.with_suffix(".words.json").write_text(json.dumps(words.to_json()))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four whole recordings with words, one without, one that is damaged."""
    root = tmp_path_factory.mktemp("wild")
    for seed in range(4):
        stream = make_stream(seed, seconds=20)
        (root / "sub").mkdir(exist_ok=True)
        stream.write(root / "sub" / f"{seed}.mp4")
        write_words(stream, root / "sub" / f"{seed}.mp4")
    make_stream(9, seconds=5).write(root / "silent.mp4")
    (root / "damaged.mp4").write_bytes(b"\0" * 100)
    return root


@pytest.fixture(scope="module")
def built(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("built") / "wild"
    return out, build_wild(WildConfig(str(recordings), str(out)))


def test_recordings_become_sequences(built: tuple[Path, dict]) -> None:
    out, figures = built
    assert figures["scenarios"].keys() == {"toys"} and sum(figures["boundaries"].values()) > 8
    loaded = load_worldnet(out, "train")
    assert not loaded.rejected
    recording = loaded.recording
    assert set(recording.specs) == {
        Modality.IMAGE, Modality.VIDEO, Modality.AUDIO, Modality.TEXT, Modality.VECTOR,
    }  # fmt: skip
    assert recording.specs[Modality.VECTOR] == NUMBERS
    assert max(len(episode) for episode in recording.episodes) > 1, "no boundary was shared"
    said = {
        recording.action_spec.vocabulary.decode(a) for e in recording.episodes for a in e.actions
    }
    assert said == {"the square moves"}


def test_states_are_told_at_their_moment_and_rewards_counted(built: tuple[Path, dict]) -> None:
    folder = WorldNetFolder.open(built[0])
    rows = [row for split in folder.splits for row in folder.annotations(split).transitions]
    for row in rows:
        before, after = row.state0, row.state1
        assert before.text == f"second {before.vector[0]:.0f}"
        assert after.vector[0] > before.vector[0] or after.vector == before.vector
    recordings = {row.episode for row in rows}
    rewarded = {row.episode for row in rows if row.reward == 1.0}
    assert all(row.reward in (0.0, 1.0) for row in rows) and rewarded <= recordings and rewarded


def test_no_recording_is_in_two_splits(built: tuple[Path, dict]) -> None:
    folder = WorldNetFolder.open(built[0])
    of = [{row.episode for row in folder.annotations(s).transitions} for s in folder.splits]
    assert len(of) == 3 and sum(map(len, of)) == len(set.union(*of)) == 4


def test_what_is_left_out_says_why(built: tuple[Path, dict]) -> None:
    lines = [json.loads(line) for line in (built[0] / "rejected.jsonl").read_text().splitlines()]
    reasons = {line["source"]: line["reason"] for line in lines if line["row"] == -1}
    assert "no whole recording" in reasons["damaged.mp4"]
    assert "silent.words.json" in reasons["silent.mp4"]
    assert len(lines) == built[1]["rejected"]


def test_filters_refuse_by_length_and_by_words(recordings: Path, tmp_path: Path) -> None:
    filters = FilterConfig(max_seconds=2.5, min_words=2)
    figures = build_wild(WildConfig(str(recordings), str(tmp_path / "a"), filters=filters))
    lines = [json.loads(s) for s in (tmp_path / "a" / "rejected.jsonl").read_text().splitlines()]
    assert any("more than 2.5 s" in line["reason"] for line in lines)
    assert figures["found"] > sum(figures["splits"].values()) > 0
    with pytest.raises(WorldNetError, match="fewer than 4"):
        build_wild(
            WildConfig(str(recordings), str(tmp_path / "b"), filters=FilterConfig(min_words=4))
        )
    assert not (tmp_path / "b").exists()


def test_the_same_seed_writes_the_same_annotations(recordings: Path, tmp_path: Path) -> None:
    figures = [build_wild(WildConfig(str(recordings), str(tmp_path / n), seed=5)) for n in "ab"]
    assert figures[0]["splits"] == figures[1]["splits"]
    for file in sorted(p for p in (tmp_path / "a").rglob("*") if p.is_file()):
        other = tmp_path / "b" / file.relative_to(tmp_path / "a")
        assert file.read_bytes() == other.read_bytes(), file


@pytest.mark.parametrize(
    "wrong",
    [{"min_seconds": 0}, {"min_seconds": 5, "max_seconds": 4}, {"min_words": 9, "max_words": 8}],
)
def test_filters_that_nothing_passes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="do not exist"):
        FilterConfig(**wrong)


def test_plain_words() -> None:
    assert (
        plain("  The dog's ball -- it ROLLS, (slowly)! 3.5") == "the dog's ball it rolls slowly 3 5"
    )


def test_actions_are_told_one_after_another(tmp_path: Path) -> None:
    make_stream(0, seconds=4).write(tmp_path / "a.mp4")
    told = [(0.0, 1.0, "wait"), (1.0, 2.0, "fire"), (2.0, 2.5, "fire"), (2.5, 4.0, "wait")]
    words = RecordingWords(
        "toys", [(0.0, "begin", ()), (2.0, "middle", ())], told, [(1.5, 2.0), (3.0, 1.0)]
    )
    (tmp_path / "a.words.json").write_text(json.dumps(words.to_json()))
    footage, teller = Footage(tmp_path, "a.mp4"), RecordedWords(tmp_path)
    caption = teller.describe(footage, 0.0, 3.0)
    assert caption.action == "wait then fire"  # of the last wait, less than half is in it
    assert (caption.before, caption.after, caption.reward) == ("begin", "middle", 3.0)
    assert teller.describe(footage, 1.2, 1.4).action == "fire"


# models -----------------------------------------------------------------------------------------

WORDS = "[PAD] [UNK] [CLS] [SEP] a the red square moves left right and stops here now".split()


def make_tokenizer(folder: Path, template: str | None = None) -> None:
    import tokenizers
    import transformers

    model = tokenizers.models.WordLevel({w: n for n, w in enumerate(WORDS)}, unk_token="[UNK]")
    plain_tokenizer = tokenizers.Tokenizer(model)
    plain_tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain_tokenizer, unk_token="[UNK]", pad_token="[PAD]", bos_token="[CLS]",
        eos_token="[SEP]",
    )  # fmt: skip
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BLIP of random weights."""
    import transformers

    folder = tmp_path_factory.mktemp("blip")
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    small["num_attention_heads"] = 2
    ids = {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    text = {**small, **ids, "vocab_size": len(WORDS), "encoder_hidden_size": 16}
    vision = {**small, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    config = transformers.BlipConfig(text_config=text, vision_config=vision)
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    transformers.BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    make_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def rewriter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights with a chat template."""
    import transformers

    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, bos_token_id=2, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    make_tokenizer(folder, "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    return folder


def test_a_captioner_by_name_tells_what_is_seen(captioner: Path) -> None:
    told = TransformersCaptioner(str(captioner), words=6)
    pictures = [np.full((20, 30, 3), value, np.uint8) for value in (0, 255)]
    first, second = told.tell(pictures)
    assert first and set(first.split()) <= set(WORDS)
    assert told.tell(pictures) == [first, second]  # greedy, and of each picture by itself
    assert told.tell(pictures[1:]) == [second]


def test_models_tell_and_rewrite_recordings(
    captioner: Path, rewriter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(3):
        make_stream(seed, seconds=6).write(tmp_path / "films" / f"{seed}.mp4")
    arguments = ["--recordings", str(tmp_path / "films"), "--out", str(tmp_path / "out")]
    models = ["--captioner", str(captioner), "--rewriter", str(rewriter)]
    kept = ["--max-words", "40", "--frames", "2", "--state-seconds", "0.5"]
    assert main(["worldnet", "build", "wild", *arguments, *models, *kept]) == 0
    assert "3 recordings" in capsys.readouterr().out
    rows = WorldNetFolder.open(tmp_path / "out").annotations("train").transitions
    rewrite = TransformersRewriter(str(rewriter))
    assert rows and all(set(row.action.split()) <= {w.lower() for w in WORDS} for row in rows)
    assert rewrite("a red square") == rewrite("a red square") != ""
    assert all(row.state0.text and row.state0.video for row in rows)


def test_models_that_are_not_there_are_named(captioner: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the captioner .*nowhere cannot be loaded"):
        TransformersCaptioner(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match="the rewriter .* cannot be loaded"):
        TransformersRewriter(str(captioner))


def test_a_rewriter_without_chat_template_is_refused(rewriter: Path, tmp_path: Path) -> None:
    for file in rewriter.iterdir():
        if "template" not in file.name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    make_tokenizer(tmp_path)
    with pytest.raises(ConfigurationError, match="no chat template"):
        TransformersRewriter(str(tmp_path))


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorldNetError, match="there is no recording"):
        build_wild(WildConfig(str(tmp_path), str(tmp_path / "out")))
