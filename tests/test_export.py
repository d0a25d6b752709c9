"""The exported folder against the transformers library that loads it, and how the folder is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import regex
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from reference import export as export_module
from reference.checkpoint import save_checkpoint
from reference.errors import UserError
from reference.export import FILES, export
from reference.export_tokenizer import tokenizer_json
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.run import Run
from reference.tokenizer import SPECIAL_TOKENS, SPLIT_PATTERN, Tokenizer, train_tokenizer

ROOT = Path(__file__).resolve().parent.parent
PARTS = Parts()
TEXTS = [
    "The capital of France is Paris. Who are you? I'm nanokata, and we'll see what you're made of!",
    "L'été à Zürich, naïve café; 東京 の 空; Привет, мир; مرحبا; 🙂🙃🙂🙃 12 + 34 = 46\r\n\r\n\t x  y",
] * 20
ODD_TEXTS = [
    "",
    " ",
    "\n",
    "  \n\n  two  spaces   three\t\ttabs \r\n",
    "don't DON'T we'll they'Re x'sword x'SWORD x'LLama x'REad x'VEry x'\u017fx",
    "1 12 123 1234567 3.14 ٣٤٥ Ⅷ½",
    "e\u0301 \u200b \ufeff \x00\x7f\x85\xa0\u2028 \x1c\x1d 👩‍👩‍👧 مرحبا नमस्ते 한국어",
    "!!!???\n\n---===[x](y)\n end.  ",
    "the capital " * 300,
]


def new_run(root: Path, stages: tuple[str, ...] = ("sft",), seed: int = 0) -> tuple[Run, Tokenizer, GPT]:
    """A run whose stages hold one random model, no weight of it zero, its vocabulary no multiple of 64."""
    run = Run.create(root, "tiny", {})
    tokenizer = train_tokenizer(TEXTS, 345, PARTS)
    tokenizer.save(run.path / "tokenizer" / "tokenizer.json")
    model = GPT(GPTConfig(tokenizer.vocab_size, 2, 4, 2, 64, 128), PARTS)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.15)
    for stage in stages:
        state = {"config": asdict(model.config)}
        save_checkpoint(run.stage_dir(stage), 3, {"model": model.state_dict()}, state)
        run.mark_complete(stage)
    return run, tokenizer, model


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    run, tokenizer, model = new_run(tmp_path_factory.mktemp("runs"))
    folder = export(run)
    return SimpleNamespace(
        run=run,
        folder=folder,
        ours=tokenizer,
        model=model,
        theirs=AutoTokenizer.from_pretrained(folder),
        their_model=AutoModelForCausalLM.from_pretrained(folder).eval(),
    )


# ------------------------------------------------------------------------------------- the model


def test_logits_are_equal(exported: SimpleNamespace) -> None:
    """The loaded model gives our logits for every token of the true vocabulary, and has no other tokens."""
    V = exported.ours.vocab_size
    assert V % 64
    ids = torch.randperm(V, generator=torch.Generator().manual_seed(1))[None]
    with torch.no_grad():
        ours, theirs = exported.model(ids), exported.their_model(ids).logits
    assert type(exported.their_model).__name__ == "NanoChatForCausalLM"
    assert theirs.dtype == torch.float32
    assert ours.abs().max() > 5  # far from where soft-capping does nothing
    torch.testing.assert_close(theirs, ours, atol=5e-5, rtol=0)  # same sums in another order


def test_greedy_generation_is_equal(exported: SimpleNamespace) -> None:
    """`generate`, with its cache, gives the tokens that our full forward pass finds most likely."""
    prompt = exported.ours.render_prompt({"messages": [{"role": "user", "content": "Who are you?"}]}, PARTS)
    ids = list(prompt)
    ends = {exported.ours.special["assistant_end"], exported.ours.special["bos"]}
    with torch.no_grad():
        while len(ids) < len(prompt) + 30 and ids[-1] not in ends:
            ids.append(int(exported.model(torch.tensor([ids]))[0, -1].argmax()))
        out = exported.their_model.generate(torch.tensor([prompt]), max_new_tokens=30)
    assert out[0].tolist() == ids


def test_ends_and_padding(exported: SimpleNamespace) -> None:
    """A document begins with bos; an answer ends with assistant_end, which also pads, at the front."""
    special = exported.ours.special
    bos, end = special["bos"], special["assistant_end"]
    for owner in (exported.their_model.config, exported.theirs):
        assert (owner.bos_token_id, owner.eos_token_id, owner.pad_token_id) == (bos, end, end)
    assert exported.their_model.generation_config.eos_token_id == [end, bos]
    assert exported.theirs(["a", "a b c"], padding=True)["input_ids"][0][0] == end


def test_config_is_ours(exported: SimpleNamespace) -> None:
    """What equal logits on 345 tokens cannot show: two tables, the epsilon, the context, the origin."""
    config = exported.their_model.config
    assert not config.tie_word_embeddings
    assert config.rms_norm_eps == torch.finfo(torch.float32).eps
    assert config.max_position_embeddings == exported.theirs.model_max_length == 128
    assert config.rope_parameters["rope_theta"] == 10000
    assert config.nanokata == {"run": "tiny", "stage": "sft"}


# --------------------------------------------------------------------------------- the tokenizer


@pytest.mark.parametrize("text", TEXTS[:2] + ODD_TEXTS)
def test_encoding_is_equal(exported: SimpleNamespace, text: str) -> None:
    """Hard strings get our ids, and decode to themselves."""
    ids = exported.theirs(text)["input_ids"]
    assert ids == exported.ours.encode(text)
    assert exported.theirs.decode(ids) == text


MIXTURES = st.lists(
    st.sampled_from([*" \n\r\t'.,!", "  ", "'ll", "'S", "the", " capital", "été", "12", "345", "🙂"])
    | st.characters(exclude_categories=["Cs", "Cn"]),
    max_size=40,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(text=MIXTURES)
def test_encoding_is_equal_for_any_text(exported: SimpleNamespace, text: str) -> None:
    """Any mixture of words, spaces, digits and strange characters gets our ids and decodes to itself."""
    ids = exported.theirs(text)["input_ids"]
    assert ids == exported.ours.encode(text)
    assert exported.theirs.decode(ids) == text


def test_every_character_is_split_alike(exported: SimpleNamespace) -> None:
    """The pattern cuts at the same places in the engine of tokenizers, around every character of Unicode.

    Characters that this Python's tables do not have yet are left out: engines learn them at different times.
    """
    pre_tokenizer = tokenizers.Tokenizer.from_file(str(exported.folder / "tokenizer.json")).pre_tokenizer
    characters = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cs", "Cn", "Co")]
    assert len(characters) > 140_000
    for start in range(0, len(characters), 200):
        text = "".join(f"a{c}b {c}{c}1{c}2'{c}x\n{c}." for c in characters[start : start + 200])
        borders = [begin for _, (begin, _) in pre_tokenizer.pre_tokenize_str(text)]
        assert borders == [match.start() for match in regex.finditer(SPLIT_PATTERN, text)]


def test_tables_are_equal(exported: SimpleNamespace) -> None:
    """Every id stands for the same bytes, and the specials have our names and ids."""
    assert len(exported.theirs) == exported.ours.vocab_size
    for i in range(exported.ours.vocab_size):
        assert exported.theirs.decode([i]) == exported.ours.decode([i])
    names = [f"<|{name}|>" for name in SPECIAL_TOKENS]
    assert exported.theirs.convert_tokens_to_ids(names) == list(exported.ours.special.values())


def test_a_chunk_that_is_a_token_is_that_token() -> None:
    """Even where the merges do not lead to it, as tiktoken has it: here b joins c before a can take it."""
    ours = Tokenizer([(98, 99), (97, 98), (257, 99)])
    theirs = tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(ours)))
    for text in ("abc", "bc", "ab c"):
        assert theirs.encode(text).ids == ours.encode(text)
    assert ours.encode("abc") == [258]


def test_special_tokens_in_a_text(exported: SimpleNamespace) -> None:
    """Their names become the tokens, as chat templates need; with split_special_tokens=True, letters."""
    text = "a <|assistant_end|> b" + "".join(f"<|{name}|>" for name in SPECIAL_TOKENS)
    assert exported.theirs(text, split_special_tokens=True)["input_ids"] == exported.ours.encode(text)
    ids = exported.theirs(text)["input_ids"]
    assert ids[-9:] == list(exported.ours.special.values())
    assert exported.theirs.decode(ids, skip_special_tokens=True) == "a  b"


# ------------------------------------------------------------------------------ the chat template

SPEECH = MIXTURES.filter(lambda text: "<|" not in text)
ANSWERS = st.one_of(
    SPEECH,
    st.tuples(SPEECH, SPEECH, SPEECH, SPEECH).map(
        lambda texts: [
            {"type": kind, "text": text}
            for kind, text in zip(("text", "python", "python_output", "text"), texts, strict=True)
        ]
    ),
)


@st.composite
def conversations(draw: Any) -> dict:
    """1 to 5 messages, perhaps a system message before them, answers with and without a call of the tool."""
    messages = [
        {"role": "assistant", "content": draw(ANSWERS)} if i % 2 else {"role": "user", "content": draw(SPEECH)}
        for i in range(draw(st.integers(1, 5)))
    ]
    system = [{"role": "system", "content": draw(SPEECH)}] if draw(st.booleans()) else []
    return {"messages": system + messages}


@settings(max_examples=200, deadline=None)
@given(conversation=conversations())
def test_chat_template_renders_as_we_do(exported: SimpleNamespace, conversation: dict) -> None:
    """The chat template gives the ids of our render, and the generation marks our mask of learned tokens."""
    theirs = exported.theirs.apply_chat_template(conversation["messages"], return_assistant_tokens_mask=True)
    ids, mask = exported.ours.render(conversation, PARTS)
    assert theirs["input_ids"] == ids
    assert theirs["assistant_masks"] == mask


@settings(max_examples=50, deadline=None)
@given(conversation=conversations().filter(lambda c: c["messages"][-1]["role"] == "user"))
def test_generation_prompt_is_ours(exported: SimpleNamespace, conversation: dict) -> None:
    """With add_generation_prompt the template ends where the assistant begins, as our prompt does."""
    theirs = exported.theirs.apply_chat_template(conversation["messages"], add_generation_prompt=True)
    assert theirs["input_ids"] == exported.ours.render_prompt(conversation, PARTS)


USER = {"role": "user", "content": "a"}
ANSWER = {"role": "assistant", "content": "b"}
SYSTEM = {"role": "system", "content": "c"}


@pytest.mark.parametrize("messages", [[ANSWER], [USER, USER], [USER, SYSTEM], [SYSTEM, SYSTEM, USER]])
def test_chat_template_refuses_what_we_refuse(exported: SimpleNamespace, messages: list[dict]) -> None:
    """Roles out of turn are an error in both."""
    with pytest.raises(ValueError, match="message"):
        exported.ours.render({"messages": messages}, PARTS)
    with pytest.raises(Exception, match="must alternate"):
        exported.theirs.apply_chat_template(messages)


# ------------------------------------------------------------------------------------ the folder


@pytest.mark.parametrize("stage", ["base", "sft"])
def test_the_readme_works(tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of the model card that load and use the model do so, and it names the run and the stage."""
    run, tokenizer, _ = new_run(tmp_path, (stage,))
    monkeypatch.chdir(export(run))
    card = Path("README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert code is not None
    printed: list[str] = []
    exec(code[1], {"print": printed.append})
    assert isinstance(printed[0], str)
    assert f"# tiny, after the stage {stage}\n" in card
    assert f"{tokenizer.vocab_size} tokens" in card
    assert ('"role": "user"' in code[1]) == (stage != "base"), "a base model has never seen a conversation"


def test_needs_no_transformers(tmp_path: Path) -> None:
    """Export works where transformers and tokenizers are not installed."""
    new_run(tmp_path)
    code = (
        "import sys; sys.modules.update(transformers=None, tokenizers=None)\n"
        "from pathlib import Path; from reference.export import export; from reference.run import Run\n"
        "print(export(Run.latest(Path(sys.argv[1]))).name)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout == "export\n", result.stderr


def exported_stage(folder: Path) -> str:
    return json.loads((folder / "config.json").read_bytes())["nanokata"]["stage"]


def test_the_last_complete_stage_is_the_default(tmp_path: Path) -> None:
    """Without a name the last complete stage of base, mid, sft, rl is exported; with one, that one."""
    run, *_ = new_run(tmp_path, ("rl", "base", "sft"))
    assert exported_stage(export(run)) == "rl"
    run.update(stages={"rl": {"complete": False}})
    assert exported_stage(export(run)) == "sft"
    assert exported_stage(export(run, "base", tmp_path / "out")) == "base"
    assert exported_stage(export(run, "rl", tmp_path / "a" / "b")) == "rl"


def test_the_checkpoint_of_the_stage_is_taken(tmp_path: Path) -> None:
    """The weights are those of the stage asked for, not of another."""
    run, *_ = new_run(tmp_path, ("base", "mid"))
    _, _, other = new_run(tmp_path / "other", seed=1)
    save_checkpoint(run.stage_dir("mid"), 4, {"model": other.state_dict()}, {"config": asdict(other.config)})
    ids = torch.arange(10)[None]
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(export(run, "mid"))(ids).logits
        torch.testing.assert_close(theirs, other(ids), atol=5e-5, rtol=0)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (None, ["no trained model", "train it"]),
        ("rl", ["no checkpoint", "rl", "train it"]),
        ("sf", ["no stage 'sf'", "sft, rl"]),
    ],
)
def test_nothing_to_export(tmp_path: Path, stage: str | None, words: list[str]) -> None:
    """A stage that does not exist, or has no model yet, is one clear sentence, and nothing is written."""
    run, *_ = new_run(tmp_path, ())
    before = content(tmp_path)
    with pytest.raises(UserError) as caught:
        export(run, stage)
    assert all(word in str(caught.value) for word in words)
    assert content(tmp_path) == before


def test_an_export_is_replaced_whole(tmp_path: Path) -> None:
    """Exporting again replaces the folder, byte for byte the same, with nothing left beside or of the old."""
    run, *_ = new_run(tmp_path / "runs", ("base", "sft"))
    out = tmp_path / "out" / "model"
    out.mkdir(parents=True)  # an empty folder is nobody's
    assert export(run, "base", out) == out
    before = content(out)
    assert set(before) == FILES
    assert export(run, "sft", out) == out
    assert content(out) != before
    (out / "README.md").unlink()
    export(run, "base", out)
    assert content(tmp_path / "out") == {f"model/{name}": data for name, data in before.items()}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"]


FOREIGN = {
    "a file": {"": b"text"},
    "other files": {"thesis.txt": b"text"},
    "an export with a file more": {"config.json": b'{"nanokata": {}}', "notes.txt": b"mine"},
    "somebody's model": {"config.json": b'{"model_type": "nanochat"}', "model.safetensors": b"weights"},
    "no JSON": {"config.json": b"\xff"},
    "a list": {"config.json": b"[]"},
    "no config": {"README.md": b"text"},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_not_an_export_is_kept(tmp_path: Path, kind: str) -> None:
    """A place where anything else stands is refused by name, and stays as it was."""
    run, *_ = new_run(tmp_path / "runs")
    out = tmp_path / "out"
    for name, data in FOREIGN[kind].items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(data)
    before = content(tmp_path)
    with pytest.raises(UserError, match=f"{out} is there and is no export"):
        export(run, out=out)
    assert content(tmp_path) == before


def test_a_failed_export_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fills up half-way, the earlier export is still there and nothing stands beside it."""
    run, *_ = new_run(tmp_path, ("base", "sft"))
    export(run, "base")
    before = content(tmp_path)
    write = export_module.write_atomically

    def full(path: Path, data: bytes) -> None:
        if path.name == "tokenizer.json":
            raise UserError("The disk is full.")
        write(path, data)

    monkeypatch.setattr(export_module, "write_atomically", full)
    with pytest.raises(UserError, match="full"):
        export(run, "sft")
    assert content(tmp_path) == before
    assert not list(run.path.glob(".export*"))


def test_leftovers_of_a_killed_export_do_no_harm(tmp_path: Path) -> None:
    """Temporary folders that a killed process left are neither in the way nor in the result."""
    run, *_ = new_run(tmp_path)
    for _ in ("the first export", "one that replaces it"):
        for name in (".export.new.tmp", ".export.old.tmp"):
            (run.path / name).mkdir()
            (run.path / name / "half").write_bytes(b"half")
        assert set(content(export(run))) == FILES
        assert not list(run.path.glob(".export*"))


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where a folder must be gives the one sentence."""
    run, *_ = new_run(tmp_path / "runs")
    (tmp_path / "file").write_bytes(b"text")
    with pytest.raises(UserError, match="Cannot write"):
        export(run, out=tmp_path / "file" / "out")
