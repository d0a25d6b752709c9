"""The tokenizer against tiktoken, the rustbpe package and the `bpe` part; conversations; files."""

from __future__ import annotations

import copy
import json
import random
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import regex
import rustbpe
import tiktoken_ext.openai_public
import torch

from reference.errors import UserError
from reference.parts import Parts
from reference.tokenizer import (
    SPECIAL_TOKENS,
    SPLIT_PATTERN,
    Tokenizer,
    train_tokenizer,
    train_tokenizer_rust,
    word_counts,
)

PARTS = Parts()


def sentences(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    places = ["France", "Peru", "Norway", "the old town", "Zürich", "東京", "naïve café"]
    things = ["capital", "color", "animal", "opposite", "story's end", "we'll see", "I'M HERE"]
    ends = [".", "!", "?!", " ...", ".  ", " 🙂🙃", "\n", ".  x", " \r\n\t"]
    return [
        f"The {rng.choice(things)} of {rng.choice(places)} is {rng.randrange(10 ** rng.randrange(1, 7))}"
        + rng.choice(ends)
        for _ in range(count)
    ]


TEXTS = sentences(0, 400)
ODD_TEXTS = [
    "",
    " ",
    "a",
    "\n",
    "  \n\n  two  spaces   three\t\ttabs \r\n",
    "don't DON'T we'll they'Re 'sword x's",
    "1 12 123 1234567 3.14 ٣٤٥ Ⅷ½",
    "e\u0301 \u200b \ufeff \x00\x7f \u2028 👩‍👩‍👧 مرحبا नमस्ते 한국어",
    "<|bos|>hello<|assistant_end|>",
    "!!!???\n\n---===[x](y)\n",
    "word" * 500,
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, 400, PARTS)


def test_split_pattern_is_cl100ks_with_two_digits(monkeypatch: pytest.MonkeyPatch):
    """Text is cut where OpenAI's own cl100k pattern cuts it, but for numbers, which that cuts by threes."""
    monkeypatch.setattr(tiktoken_ext.openai_public, "load_tiktoken_bpe", lambda *args, **kwargs: {})
    theirs = tiktoken_ext.openai_public.cl100k_base()["pat_str"]
    assert "{1,3}" in theirs
    for text in TEXTS + ODD_TEXTS:
        # cl100k has one branch more, for white space that ends the text: a letter at the end keeps it silent.
        closed = text + "z"
        assert regex.findall(SPLIT_PATTERN, closed) == regex.findall(theirs.replace("{1,3}", "{1,2}"), closed)


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("12345", ["12", "34", "5"]),
        ("I'll go, he's GONE'S", ["I", "'ll", " go", ",", " he", "'s", " GONE", "'S"]),
        ("IT'SOK", ["IT", "'S", "OK"]),
        ("a   b", ["a", "  ", " b"]),
        ("x \n\n  y \n", ["x", " \n\n", " ", " y", " \n"]),
        ("end  ", ["end", "  "]),
        ("a_b(c);\n\nd", ["a", "_b", "(c", ");\n\n", "d"]),
    ],
)
def test_split_pattern_examples(text: str, chunks: list[str]):
    """The branches of the pattern, one by one."""
    assert regex.findall(SPLIT_PATTERN, text) == chunks


def test_word_counts_cover_the_text():
    """Every byte of the texts is counted in exactly one chunk."""
    counts = word_counts(TEXTS)
    assert sum(len(word) * count for word, count in counts.items()) == len("".join(TEXTS).encode())
    assert word_counts(["a a a", " a"]) == {b"a": 1, b" a": 3}


def test_part_and_rustbpe_learn_the_same_merges(tokenizer: Tokenizer):
    """The `bpe` part and the rustbpe package learn the same merges in the same order from the same text."""
    assert train_tokenizer_rust(iter(TEXTS), 400).merges == tokenizer.merges
    assert len(tokenizer.merges) == 400 - 256 - 9


def test_training_goes_through_the_part():
    """The merges are what the `bpe` part's train returned, asked for the size without specials."""
    asked = []

    def train(counts: dict[bytes, int], size: int) -> list[tuple[int, int]]:
        asked.append((counts, size))
        return [(104, 105)]

    tokenizer = train_tokenizer(["hi hi"], 300, Parts(bpe=SimpleNamespace(train=train)))
    assert asked == [({b"hi": 1, b" hi": 1}, 291)]
    assert tokenizer.merges == [(104, 105)]
    assert tokenizer.encode("hi") == [256]


def test_encoding_equals_the_part_and_rustbpe(tokenizer: Tokenizer):
    """tiktoken with our table, the `bpe` part chunk by chunk, and rustbpe's own encoder agree."""
    trainer = rustbpe.Tokenizer()
    trainer.train_from_iterator(iter(TEXTS), 391, pattern=SPLIT_PATTERN)
    for text in sentences(1, 100) + ODD_TEXTS:
        ids = tokenizer.encode(text)
        assert ids == trainer.encode(text)
        chunks = regex.findall(SPLIT_PATTERN, text)
        assert ids == [i for chunk in chunks for i in PARTS.bpe.encode(chunk.encode(), tokenizer.merges)]
        assert tokenizer.decode_bytes(ids) == PARTS.bpe.decode(ids, tokenizer.merges) == text.encode()


def test_training_never_gives_one_token_twice():
    """On words of two letters, where pairs overlap most, all tokens differ and encoding equals the part's."""
    for seed in range(40):
        rng = random.Random(seed)
        words = ["".join(rng.choices("ab", k=rng.randrange(1, 30))) for _ in range(30)]
        tokenizer = train_tokenizer(words, 330, PARTS)  # raises ValueError if two tokens were equal
        for word in ["".join(rng.choices("ab", k=rng.randrange(1, 40))) for _ in range(20)]:
            assert tokenizer.encode(word) == PARTS.bpe.encode(word.encode(), tokenizer.merges)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_round_trip(tokenizer: Tokenizer, text: str):
    """Decoding gives back any text, and encoding a batch is encoding one by one."""
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode_batch([text, "x", text]) == [tokenizer.encode(t) for t in (text, "x", text)]


def test_bytes_that_are_no_text_become_the_replacement_character(tokenizer: Tokenizer):
    """The bytes of half a character decode to U+FFFD, and come out unchanged as bytes."""
    assert tokenizer.decode([97, 0xC3, 98]) == "a\ufffdb"
    assert tokenizer.decode_bytes([97, 0xC3, 98]) == b"a\xc3b"


def test_half_a_surrogate_pair_becomes_the_replacement_character(tokenizer: Tokenizer):
    """Text that UTF-8 cannot hold is trained on and encoded with U+FFFD; a whole pair is its character."""
    broken = "a\ud800b \udfff"
    assert tokenizer.decode(tokenizer.encode(broken)) == "a\ufffdb \ufffd"
    assert tokenizer.encode_batch([broken]) == [tokenizer.encode(broken)]
    assert tokenizer.encode("\ud83d\ude00") == tokenizer.encode("😀")
    assert word_counts([broken]) == word_counts(["a\ufffdb \ufffd"])
    assert train_tokenizer_rust([broken], 280).merges == train_tokenizer([broken], 280, PARTS).merges


def test_special_tokens_follow_the_merges(tokenizer: Tokenizer):
    """The nine specials have the last ids, in their order, and are decoded as their names in bars."""
    assert tokenizer.vocab_size == 400
    assert tokenizer.special == {name: 391 + i for i, name in enumerate(SPECIAL_TOKENS)}
    assert tokenizer.decode([391, 104, 105, 399]) == "<|bos|>hi<|output_end|>"


def test_special_strings_in_text_stay_text(tokenizer: Tokenizer):
    """A user who types `<|assistant_end|>` gets letters, never the special token."""
    text = "".join(f"<|{name}|>" for name in SPECIAL_TOKENS)
    for ids in (tokenizer.encode(text), tokenizer.encode_batch([text])[0]):
        assert max(ids) < tokenizer.special["bos"]
        assert tokenizer.decode(ids) == text


def test_token_bytes_are_raw_lengths(tokenizer: Tokenizer):
    """Lengths are of the raw bytes: a lone byte of a longer character counts 1, and specials count 0."""
    lengths = tokenizer.token_bytes()
    assert lengths.dtype == torch.int32
    assert lengths.shape == (400,)
    assert lengths[:256].tolist() == [1] * 256
    assert lengths[391:].tolist() == [0] * 9
    assert lengths[256:391].tolist() == [len(PARTS.bpe.decode([i], tokenizer.merges)) for i in range(256, 391)]
    for text in TEXTS:
        assert lengths[tokenizer.encode(text)].sum() == len(text.encode())


def test_ids_beyond_the_vocabulary_have_no_bytes(tokenizer: Tokenizer):
    """Decoding an id that does not exist is an error, not silence."""
    with pytest.raises(KeyError):
        tokenizer.decode([400])


def test_too_small_a_vocabulary_is_refused():
    """265 ids are just enough: 256 bytes and nine specials; 264 is the user's error."""
    assert train_tokenizer(TEXTS, 265, PARTS).vocab_size == 265
    assert train_tokenizer_rust(TEXTS, 265).vocab_size == 265
    with pytest.raises(UserError, match="264"):
        train_tokenizer(TEXTS, 264, PARTS)
    with pytest.raises(UserError, match="264"):
        train_tokenizer_rust(TEXTS, 264)


def test_too_little_text_gives_a_smaller_vocabulary():
    """When no pair is left to merge, the vocabulary ends early and the specials follow the last merge."""
    for tokenizer in (train_tokenizer(["abab"], 1000, PARTS), train_tokenizer_rust(["abab"], 1000)):
        assert tokenizer.merges == [(97, 98), (256, 256)]
        assert tokenizer.vocab_size == 267
        assert tokenizer.special["bos"] == 258


def test_long_documents_are_cropped():
    """Training looks at the first 10,000 characters of a document, whichever way it trains."""
    document = "a" * 10_000 + "bc" * 10_000
    assert word_counts([document]) == {b"a" * 10_000: 1}
    assert train_tokenizer_rust([document], 266).merges == [(97, 97)]


@pytest.mark.parametrize(
    "merges",
    [
        [(97, 256)],  # itself
        [(97, 98), (258, 99)],  # a later one
        [(-1, 98)],
        [(97, 98), (97, 98)],
        [(97, 98), (98, 99), (256, 99), (97, 257)],  # ab+c and a+bc
    ],
)
def test_impossible_merges_are_refused(merges: list[tuple[int, int]]):
    """Merges that training cannot give, such as two for the same bytes, are a ValueError."""
    with pytest.raises(ValueError, match="merge"):
        Tokenizer(merges)


# -------------------------------------------------------------------------------- conversations

CONVERSATION = {
    "messages": [
        {"role": "user", "content": "What is 2+3?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see. "},
                {"type": "python", "text": "2+3"},
                {"type": "python_output", "text": "5"},
                {"type": "text", "text": "It is 5."},
            ],
        },
        {"role": "user", "content": "Thanks <|bos|>"},
        {"role": "assistant", "content": "You're welcome."},
    ]
}


def expected_rendering(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    pieces = [
        ("bos", 0), ("user_start", 0), ("What is 2+3?", 0), ("user_end", 0),
        ("assistant_start", 0), ("Let me see. ", 1), ("python_start", 1), ("2+3", 1), ("python_end", 1),
        ("output_start", 0), ("5", 0), ("output_end", 0), ("It is 5.", 1), ("assistant_end", 1),
        ("user_start", 0), ("Thanks <|bos|>", 0), ("user_end", 0),
        ("assistant_start", 0), ("You're welcome.", 1), ("assistant_end", 1),
    ]  # fmt: skip
    ids, mask = [], []
    for text, learned in pieces:
        piece = [tokenizer.special[text]] if text in tokenizer.special else tokenizer.encode(text)
        ids += piece
        mask += [learned] * len(piece)
    return ids, mask


def test_render(tokenizer: Tokenizer):
    """A conversation with a tool call has the chat format's ids and mask, and is left as it was."""
    before = copy.deepcopy(CONVERSATION)
    ids, mask = tokenizer.render(CONVERSATION, PARTS)
    assert (ids, mask) == expected_rendering(tokenizer)
    assert before == CONVERSATION
    assert tokenizer.render(CONVERSATION, PARTS, max_tokens=17) == (ids[:17], mask[:17])


def test_each_part_is_encoded_by_itself(tokenizer: Tokenizer):
    """Text parts in a row are not merged across their border: training sees the ids that generation made."""
    parts = [{"type": "text", "text": text} for text in ("The capi", "tal")]
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": parts}]
    ids, _ = tokenizer.render({"messages": messages}, PARTS)
    assert ids[-1 - len(tokenizer.encode("tal")) : -1] == tokenizer.encode("tal")
    assert tokenizer.encode("The capi") + tokenizer.encode("tal") != tokenizer.encode("The capital")


def test_system_message_opens_the_first_user_message(tokenizer: Tokenizer):
    """A leading system message and a blank line are put before the first user message, on a copy."""
    system = {"role": "system", "content": "Be brief."}
    with_system = {"messages": [system, *CONVERSATION["messages"]]}
    before = copy.deepcopy(with_system)
    joined = copy.deepcopy(CONVERSATION)
    joined["messages"][0]["content"] = "Be brief.\n\nWhat is 2+3?"
    assert tokenizer.render(with_system, PARTS) == tokenizer.render(joined, PARTS)
    assert with_system == before


def test_render_prompt(tokenizer: Tokenizer):
    """The prompt ends with assistant_start, and the answer that was to come is left out."""
    ids, _ = tokenizer.render(CONVERSATION, PARTS)
    answer = len(tokenizer.encode("You're welcome.")) + 1  # with assistant_end
    before = copy.deepcopy(CONVERSATION)
    assert tokenizer.render_prompt(CONVERSATION, PARTS) == ids[:-answer]
    assert before == CONVERSATION
    without = {"messages": CONVERSATION["messages"][:-1]}
    assert tokenizer.render_prompt(without, PARTS) == ids[:-answer]
    assert ids[-answer - 1] == tokenizer.special["assistant_start"]


def test_rendering_goes_through_the_part(tokenizer: Tokenizer):
    """Both ways of rendering return what the `loss_mask` part's render gave."""
    calls = []

    def render(messages, special, max_tokens=None):
        calls.append((messages, special, max_tokens))
        return [7], [1]

    parts = Parts(loss_mask=SimpleNamespace(render=render))
    conversation = {"messages": [{"role": "user", "content": "hi"}]}
    assert tokenizer.render(conversation, parts, 5) == ([7], [1])
    assert tokenizer.render_prompt(conversation, parts) == [7, tokenizer.special["assistant_start"]]
    ids = tokenizer.encode("hi")
    tokenized = [{"role": "user", "parts": [{"type": "text", "ids": ids}]}]
    assert calls == [(tokenized, tokenizer.special, 5), (tokenized, tokenizer.special, None)]


USER = {"role": "user", "content": "a"}
ANSWER = {"role": "assistant", "content": "b"}
SYSTEM = {"role": "system", "content": "c"}


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ([], "at least one"),
        ("hello", "list of messages"),
        (["hello"], "message 0"),
        ([{"role": "user"}], "message 0"),
        ([ANSWER], "message 0"),
        ([USER, USER], "message 1"),
        ([SYSTEM, USER, USER], "message 2"),
        ([SYSTEM], "message 0"),
        ([SYSTEM, ANSWER], "message 1"),
        ([USER, SYSTEM], "message 1"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}]}], "message 0"),
        ([USER, {"role": "assistant", "content": None}], "message 1"),
        ([USER, {"role": "assistant", "content": ["a"]}], "message 1"),
        ([USER, {"role": "assistant", "content": [{"type": "image", "text": "a"}]}], "message 1"),
        ([SYSTEM, USER, {"role": "assistant", "content": [{"type": "python"}]}], "message 2"),
        ([SYSTEM, {"role": "user", "content": ["a"]}], "message 0"),
    ],
)
def test_bad_conversations_are_named(tokenizer: Tokenizer, messages: object, named: str):
    """A conversation that is not one is a ValueError that says which message is wrong."""
    for render in (tokenizer.render, tokenizer.render_prompt):
        with pytest.raises(ValueError, match=named):
            render({"messages": messages}, PARTS)


# -------------------------------------------------------------------------------- files


def test_save_and_load(tokenizer: Tokenizer, tmp_path: Path):
    """A loaded tokenizer encodes and numbers its specials as the saved one did; the file is plain JSON."""
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = Tokenizer.load(path)
    assert loaded.merges == tokenizer.merges
    assert loaded.special == tokenizer.special
    assert [loaded.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]
    assert set(json.loads(path.read_text())) == {"format", "pattern", "merges", "special"}


DAMAGE = {
    "cut off": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "binary": lambda data: b"\x80\x00\xff",
    "deep": lambda data: b"[" * 100_000,
}
CHANGES = {
    "other format": {"format": 2},
    "other pattern": {"pattern": "."},
    "other specials": {"special": list(SPECIAL_TOKENS[::-1])},
    "no merges": {"merges": None},
    "triple": {"merges": [[97, 98, 99]]},
    "float": {"merges": [[97.0, 98]]},
    "bool": {"merges": [[True, 98]]},
    "out of range": {"merges": [[97, 300]]},
    "negative": {"merges": [[97, -1]]},
    "twice": {"merges": [[97, 98], [97, 98]]},
}


@pytest.mark.parametrize("damage", [*DAMAGE, *CHANGES, "a list"])
def test_damaged_files_are_named(tokenizer: Tokenizer, tmp_path: Path, damage: str):
    """A file that is not a tokenizer is the user's error, in a sentence that names the file."""
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    if damage in DAMAGE:
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
    elif damage in CHANGES:
        path.write_text(json.dumps(json.loads(path.read_text()) | CHANGES[damage]))
    else:
        path.write_text("[1, 2]")
    with pytest.raises(UserError, match=r"tokenizer\.json") as error:
        Tokenizer.load(path)
    assert ("merge" in str(error.value)) == ("merges" in CHANGES.get(damage, {}))


def test_missing_file_is_named(tmp_path: Path):
    """A tokenizer that is not there, or a directory in its place, is the user's error too."""
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UserError, match=path.name):
            Tokenizer.load(path)


# -------------------------------------------------------------------------------- real text


def test_real_web_text(data_dir: Path):
    """On web text 2,048 ids encode as rustbpe does, round-trip, and hold 2.5 bytes a token or more."""
    shards = sorted((data_dir / "base_data").glob("*.parquet"))
    texts = pq.read_table(shards[0])["text"].to_pylist()[:600]
    tokenizer = train_tokenizer_rust(texts[:500], 2048)
    trainer = rustbpe.Tokenizer()
    trainer.train_from_iterator([text[:10_000] for text in texts[:500]], 2039, pattern=SPLIT_PATTERN)
    held_out = texts[500:]
    ids = tokenizer.encode_batch(held_out)
    assert ids == [trainer.encode(text) for text in held_out]
    assert [tokenizer.decode(i) for i in ids] == held_out
    assert len("".join(held_out).encode()) > 2.5 * sum(map(len, ids))
    chunks = islice(dict.fromkeys(regex.findall(SPLIT_PATTERN, "".join(held_out[:20]))), 300)
    for chunk in chunks:
        assert tokenizer.encode(chunk) == PARTS.bpe.encode(chunk.encode(), tokenizer.merges)
