"""What byte pair encoding must do, from easy to hard. `student` is the implementation under test."""

from __future__ import annotations

import random
import zlib
from itertools import pairwise, product

import pytest

pytestmark = pytest.mark.seconds(5)

A, B, C, D = b"abcd"  # the bytes of these letters: 97, 98, 99, 100

# The example of the lesson, worked there by hand. "es" and "st" are tied at 9, as are later "lo" and "ow" at 7; after
# the first two merges "we" has fallen from 8 to 2; the last merge has a count of 2 and leaves every word in one piece.
LESSON = {b"low": 5, b"lower": 2, b"newest": 6, b"widest": 3}
LESSON_MERGES = [
    (ord("e"), ord("s")),  # 256  es      9
    (256, ord("t")),  # 257  est     9
    (ord("l"), ord("o")),  # 258  lo      7
    (258, ord("w")),  # 259  low     7
    (ord("e"), ord("w")),  # 260  ew      6
    (ord("n"), 260),  # 261  new     6
    (261, 257),  # 262  newest  6
    (ord("d"), 257),  # 263  dest    3
    (ord("i"), 263),  # 264  idest   3
    (ord("w"), 264),  # 265  widest  3
    (ord("e"), ord("r")),  # 266  er      2
    (259, 266),  # 267  lower   2
]


def words_over(letters: str, longest: int) -> list[bytes]:
    """Every word of these letters, the empty one first, then from short to long."""
    return ["".join(word).encode() for n in range(longest + 1) for word in product(letters, repeat=n)]


def made_up_words(seed: int, unique: int, commonest: int) -> dict[bytes, int]:
    """Words that sound like English. As in English the word of rank r is about r times rarer than the first."""
    rng = random.Random(seed)
    onsets = "b c d f g h l m n p r s t v w st tr ch sh th br pl gr".split()
    vowels = "a e i o u ea ou ai oo".split()
    codas = ["", "", "", *"n r s t l m nd st ck ng".split()]
    words: dict[bytes, int] = {}
    while len(words) < unique:
        syllables = 1 + (len(words) > 150) + (len(words) > 4000)  # common words are short, rare ones long
        word = "".join(rng.choice(onsets) + rng.choice(vowels) + rng.choice(codas) for _ in range(syllables))
        words.setdefault(f" {word}".encode(), max(1, commonest // (len(words) + 1)))
    return words


# merge


def test_merge_replaces_the_pair(student):
    """merge puts new_id wherever the pair stands"""
    assert student.merge([5, 1, 2, 6], (1, 2), 9) == [5, 9, 6]
    assert student.merge([1, 2, 7, 1, 2, 1, 2], (1, 2), 9) == [9, 7, 9, 9]


def test_merge_keeps_everything_else(student):
    """ids that are not part of the pair stay, at both ends too, and a pair has an order"""
    assert student.merge([1, 2, 1], (1, 2), 9) == [9, 1]
    assert student.merge([2, 1, 2], (1, 2), 9) == [2, 9]
    assert student.merge([2, 1], (1, 2), 9) == [2, 1]
    assert student.merge([1], (1, 1), 9) == [1]
    assert student.merge([], (1, 1), 9) == []


def test_merge_goes_from_left_to_right(student):
    """a run of equal ids is merged from the left, and no id is used twice"""
    assert student.merge([1, 1, 1], (1, 1), 9) == [9, 1]
    assert student.merge([1, 1, 1, 1], (1, 1), 9) == [9, 9]
    assert student.merge([1, 1, 1, 1, 1, 2, 1, 1, 1], (1, 1), 9) == [9, 9, 1, 2, 9, 1]


def test_merge_looks_at_nothing_twice(student):
    """new_id may be a member of the pair, and what was merged is not merged again"""
    assert student.merge([1, 2, 2], (1, 2), 1) == [1, 2]
    assert student.merge([1, 1, 2], (1, 2), 2) == [1, 2]
    assert student.merge([0, 0, 0, 0], (0, 0), 0) == [0, 0]


def test_merge_takes_any_ints(student):
    """ids may be negative, 0 or huge; equal ints are equal however they were made, and 1 is not the end of 11"""
    assert student.merge([11, 2, 1, 21], (1, 2), 9) == [11, 2, 1, 21]
    assert student.merge([-1, 5, -1, 0, -3], (-1, 0), -2) == [-1, 5, -2, -3]
    assert student.merge([2, 1, 0, 2], (2, 1), 0) == [0, 0, 2]
    assert student.merge([10**20, int("70000"), int("80000")], (70_000, 80_000), 10**30) == [10**20, 10**30]


def test_merge_every_short_list(student):
    """merge agrees with str.replace, which knows the same rules, on all lists of 0 and 1 up to length 5"""
    for n, pair, new_id in product(range(6), product((0, 1), repeat=2), (1, 2)):
        for ids in product((0, 1), repeat=n):
            text = "".join(map(str, ids)).replace(f"{pair[0]}{pair[1]}", str(new_id))
            assert student.merge(list(ids), pair, new_id) == [int(character) for character in text]


def test_merge_on_lists_by_chance(student, reference, seed):
    """on longer lists of few ids, where pairs overlap all the time, merge agrees with the worked answer"""
    rng = random.Random(seed)
    for size in range(2, 60):
        ids = [rng.randrange(300, 303) for _ in range(size)]
        pair, new_id = (rng.randrange(300, 303), rng.randrange(300, 303)), rng.randrange(300, 400)
        assert student.merge(ids, pair, new_id) == reference.merge(ids, pair, new_id)


# train


def test_train_takes_the_most_frequent_pair(student):
    """the first merge is the pair that stands most often in all words together"""
    assert student.train({b"abc": 1, b"bcd": 1}, 257) == [(B, C)]
    assert student.train({b"cab": 1, b"abab": 1, b"cac": 1}, 257) == [(A, B)]  # ab 3, ca 2: twice in one word is two


def test_train_weighs_words(student):
    """a word counts as often as its count says"""
    assert student.train({b"ab": 1, b"cd": 5}, 257) == [(C, D)]
    assert student.train({b"ab": 2, b"xaby": 2, b"cd": 3}, 257) == [(A, B)]  # 2 + 2 is more than 3
    assert student.train({b"abab": 2, b"cd": 3}, 257) == [(A, B)]  # twice in a word that counts twice: 4


def test_train_counts_overlaps(student):
    """aaa holds the pair aa twice, once for every place where it begins"""
    assert student.train({b"aaa": 2, b"bc": 3}, 257) == [(A, A)]  # 4 against 3
    assert student.train({b"bc": 5, b"aaaa": 2}, 257) == [(A, A)]  # 6 against 5


def test_train_breaks_ties_by_the_smallest_pair(student):
    """of pairs with equal counts the one with the smallest left id wins, then the one with the smallest right id"""
    assert student.train({b"bc": 1, b"zz": 1, b"ab": 1, b"ba": 1}, 257) == [(A, B)]  # neither first, last nor greatest
    assert student.train({b"bd": 1, b"ba": 1, b"bc": 1}, 257) == [(B, A)]
    assert student.train({b"ca": 2, b"ab": 1, b"ac": 2}, 257) == [(A, C)]  # ab is smaller, but has only 1


def test_train_respects_words(student):
    """no pair reaches from one word into the next"""
    assert student.train({b"xa": 2, b"ay": 3, b"a": 9}, 300) == [(A, ord("y")), (ord("x"), A)]
    assert student.train({b"a": 7, b"b": 7, b"": 7}, 300) == []


def test_train_by_hand(student):
    """the lesson's four words give the lesson's merges: new ids take part, and counts are those of what is left"""
    assert student.train(LESSON, 257) == LESSON_MERGES[:1]
    assert student.train(LESSON, 260) == LESSON_MERGES[:4]
    assert student.train(LESSON, 268) == LESSON_MERGES


def test_train_stops(student):
    """at most vocab_size - 256 merges are learned, and no more once no pair has a count above 0"""
    assert student.train({b"abab": 1}, 256) == []
    assert student.train({b"abab": 1}, 257) == [(A, B)]
    assert student.train({b"abab": 1}, 1000) == [(A, B), (256, 256)]  # a count of 1 is above 0
    assert student.train({b"aaaaa": 1}, 1000) == [(A, A), (256, A), (256, 257)]  # a a a a a, 256 256 a, 256 257
    assert student.train({b"a" * 64: 1}, 1000) == [(A, A), *((i, i) for i in range(256, 261))]  # 32, 16, 8, 4, 2, 1 ids
    assert student.train({}, 1000) == []


def test_train_and_words_that_never_occur(student):
    """a word with the count 0 teaches nothing"""
    assert student.train({b"ab": 0}, 300) == []
    assert student.train({b"ab": 0, b"bc": 1, b"cab": 0}, 300) == [(B, C)]


def test_train_compares_ids_on_ties(student):
    """on a tie new ids are compared as numbers like all others, not by the bytes that they stand for"""
    # ab goes first with 4. Then (256, x) and (b, x) have 2 each: 98 is less than 256, though "ab" is before "b"
    assert student.train({b"abx": 2, b"ab": 2, b"bx": 2}, 259) == [(A, B), (B, ord("x")), (256, ord("x"))]


def test_train_takes_any_bytes(student):
    """words are bytes, not text: 0 and 255 are symbols like all others"""
    words = {b"\xff\xfe\xff\xfe": 3, b"\x00\x00\x00": 4, b"  ": 2, b"\xc3\xa9": 1}
    # 00 00 has 4 * 2, ff fe 3 * 2; then come 256 00 with 4, 257 257 with 3, two spaces with 2, c3 a9 with 1
    assert student.train(words, 300) == [(0, 0), (255, 254), (256, 0), (257, 257), (32, 32), (0xC3, 0xA9)]


def test_train_every_short_word(student, reference):
    """one word alone, each of those over a and b up to length 7, gives the merges that the rules give"""
    for word in words_over("ab", 7):
        assert student.train({word: 1}, 262) == reference.train({word: 1}, 262)


def test_train_on_crowds_of_words(student, reference, seed):
    """many short words with small counts, full of ties, overlaps and zeros, give the merges that the rules give"""
    rng = random.Random(seed + 1)
    for size in range(2, 62):
        letters = "ab" if size % 2 else "abc"
        words = ["".join(rng.choices(letters, k=rng.randint(0, 8))).encode() for _ in range(size // 4 + 2)]
        counts = {word: rng.randint(0, 4) for word in words}
        assert student.train(counts, 256 + size // 3) == reference.train(counts, 256 + size // 3)


def test_train_far_enough_for_merges_of_merges(student, reference, seed):
    """on 200 made-up words the merges are right, one after the other, up to id 355"""
    words = made_up_words(seed=seed + 2, unique=200, commonest=200)
    assert student.train(words, 356) == reference.train(words, 356)


# encode


def test_encode_by_hand(student):
    """a new word falls into the pieces that the merges make of it"""
    assert student.encode(b"lowest", LESSON_MERGES) == [259, 257]  # low est: neither word of four was this one
    assert student.encode(b"lower", LESSON_MERGES) == [267]
    assert student.encode(b"slow", LESSON_MERGES) == [ord("s"), 259]
    assert student.encode(b"abc", LESSON_MERGES) == [A, B, C]


def test_encode_merges_wherever_it_can(student):
    """every occurrence of a pair is merged, left to right, and a merge can make room for the next"""
    merges = [(A, B), (A, A), (256, 256)]
    assert student.encode(b"abcab", merges) == [256, C, 256]
    assert student.encode(b"abababab", merges) == [258, 258]
    assert student.encode(b"aaa", merges) == [257, A]
    assert student.encode(b"abc", [(B, C), (A, 256), (A, B)]) == [257]  # a b c, a 256, 257


def test_encode_follows_the_order_of_learning(student):
    """the merge learned first goes first, also where another one would match more or stands further left"""
    assert student.encode(b"abcd", [(C, D), (A, B), (257, C)]) == [257, 256]  # not abc and d
    assert student.encode(b"abcd", [(B, C), (A, B), (C, D)]) == [A, 256, D]  # not ab and cd, although that is shorter
    assert student.encode(b"bca", [(C, A), (B, C)]) == [B, 256]  # not bc, which is the smaller pair
    assert student.encode(b"abc", [(A, B), (B, C)]) == [256, C]  # not bc, which is the greater pair


def test_encode_short_words(student):
    """a word of one byte or none is encoded too, and without merges every byte is its own id"""
    assert student.encode(b"", LESSON_MERGES) == []
    assert student.encode(b"e", LESSON_MERGES) == [ord("e")]
    assert student.encode(b"low", []) == [ord("l"), ord("o"), ord("w")]
    assert student.encode("é東".encode(), []) == [0xC3, 0xA9, 0xE6, 0x9D, 0xB1]  # two characters, five bytes


def test_encode_every_short_word(student, reference):
    """all words over a, b and c up to length 5, most of them new, are split as the rules say"""
    merges = reference.train({b"abcab": 3, b"bcabb": 3, b"aacbc": 2, b"ccca": 4}, 272)
    for word in words_over("abc", 5):
        assert student.encode(word, merges) == reference.encode(word, merges)


def test_encode_made_up_words(student, reference, seed):
    """words that sound alike fall into the pieces that merges learned from others make of them"""
    merges = reference.train(made_up_words(seed=seed + 5, unique=60, commonest=60), 320)
    for word in made_up_words(seed=seed + 6, unique=60, commonest=60):
        assert student.encode(word, merges) == reference.encode(word, merges)


# decode


def test_decode_by_hand(student):
    """a merge stands for its left half, then its right half, and these for theirs"""
    assert student.decode([256], LESSON_MERGES) == b"es"
    assert student.decode([259, 257], LESSON_MERGES) == b"lowest"
    assert student.decode([267, ord(" "), 265, 265], LESSON_MERGES) == b"lower widestwidest"
    assert student.decode([], LESSON_MERGES) == b""


def test_decode_takes_any_ids(student):
    """ids need not be what encode would give: decoding only spells them out"""
    assert student.decode([ord("e"), ord("s"), ord("t")], LESSON_MERGES) == b"est"
    assert student.decode([256, 256], [(A, A)]) == b"aaaa"
    assert student.decode([0, 255], []) == b"\x00\xff"


def test_decode_is_on_bytes(student):
    """half a character survives: decoding gives bytes, and whether they are text is not its business"""
    assert student.decode([0x80], []) == b"\x80"  # a continuation byte without its beginning
    assert student.decode([0xC3, 0xA9], []) == "é".encode()  # and no byte becomes a character of its own
    assert student.decode([256, 0xE6], [(0x9D, 0xB1)]) == b"\x9d\xb1\xe6"  # the end of 東, then its beginning


def test_decode_ids_by_chance(student, reference, seed):
    """any ids in any order are spelled out as the worked answer does"""
    rng = random.Random(seed)
    merges = reference.train(made_up_words(seed=seed + 7, unique=60, commonest=60), 320)
    for size in range(40):
        ids = rng.choices(range(256 + len(merges)), k=size)
        assert student.decode(ids, merges) == reference.decode(ids, merges)


def test_decode_undoes_encode(student, seed):
    """any bytes come back, and nothing that could be merged is left in between"""
    merges = [*LESSON_MERGES, (0x80, 0x81), (0xFF, 0xFF)]
    rng = random.Random(seed + 3)
    lesson = [rng.choices(b"lowernwsdit", k=n) for n in range(20)]
    for word in [bytes(range(256)), b"\xff" * 5, b"newestwidestlower", *map(bytes, lesson)]:
        ids = student.encode(word, merges)
        assert student.decode(ids, merges) == word
        assert not set(pairwise(ids)) & set(merges), f"encode({word!r}) leaves a pair that is in merges"


# manners


def test_leaves_its_arguments_alone(student):
    """the caller's lists and words are the caller's: nothing is changed, and nothing is handed back"""
    assert student.merge([1, 2, 3], (7, 8), 9) == [1, 2, 3]
    assert student.merge([1, 2, 3], (2, 3), 9) == [1, 9]
    assert student.train({b"ab": 2, b"b": 1}, 300) == [(A, B)]
    assert student.encode(b"aba", [(A, B)]) == [256, A]
    assert student.decode([256, A], [(A, B)]) == b"aba"


def test_remembers_nothing(student):
    """each call stands alone: other merges or other words give another answer"""
    assert student.encode(b"abc", [(A, B)]) == [256, C]
    assert student.encode(b"abc", [(B, C)]) == [A, 256]
    assert student.decode([256], [(A, B)]) == b"ab"
    assert student.decode([256], [(B, C)]) == b"bc"
    assert student.train({b"ab": 1}, 300) == [(A, B)]
    assert student.train({b"bc": 1}, 300) == [(B, C)]


@pytest.mark.parametrize("vocab_size", [255, 0, -1])
def test_bad_vocab_size(student, vocab_size):
    """a vocabulary that does not hold the 256 bytes is refused, by name"""
    with pytest.raises(ValueError, match="vocab_size"):
        student.train({b"ab": 1}, vocab_size)


@pytest.mark.parametrize("words", [{b"ab": -1}, {b"ab": 3, b"cab": -1}, {b"": -2}])
def test_bad_count(student, words):
    """a negative count is refused, by name, wherever it stands"""
    with pytest.raises(ValueError, match="word_counts"):
        student.train(words, 300)


@pytest.mark.parametrize(("ids", "merges"), [([256], []), ([-1], []), ([97, 257], [(A, B)]), ([-257, 97], [(A, B)])])
def test_bad_ids(student, ids, merges):
    """an id that stands for nothing is refused, by name"""
    with pytest.raises(ValueError, match="ids"):
        student.decode(ids, merges)


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        ("encode", ("ab", [(A, B)]), "word"),  # str for bytes
        ("train", ({"ab": 1}, 300), "word_counts"),
        ("train", ({b"ab": 1.0}, 300), "word_counts"),  # float for int
        ("train", ({b"ab": 1}, 300.0), "vocab_size"),
        ("merge", ([1.0, 2], (1, 2), 9), "ids"),
        ("merge", ([1, 2], (1.0, 2), 9), "pair"),
        ("merge", ([1, 2], (1, 2), 9.0), "new_id"),
        ("decode", ([97.0], []), "ids"),
    ],
)
def test_wrong_type(student, function, arguments, name):
    """a str for bytes or a float for an int is refused, by name"""
    with pytest.raises(TypeError, match=name):
        getattr(student, function)(*arguments)


# the stretch goal


@pytest.mark.stretch
@pytest.mark.seconds(10)
def test_train_is_fast(student, reference):
    """a corpus of 1 MB is learned to 1,024 ids in under ten seconds, which asks for incremental pair counts"""
    words = made_up_words(seed=4, unique=20_000, commonest=14_000)
    merges = student.train(words, 1024)
    # The checksum of the right merges saves the time to learn them again; where it differs, see where they do.
    if zlib.crc32(repr(merges).encode()) != 2462455391:
        assert merges == reference.train(words, 1024)
