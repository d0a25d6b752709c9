"""Wrong versions of byte pair encoding that people write, each with what a good teacher would say."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

# What the mistakes share, without fault: the checks of the contract, and the plainest version of each function.


def _check(name, ints, least=None, most=None):
    if not all(isinstance(i, int) for i in ints):
        raise TypeError(f"{name} should hold ints, not {ints!r}")
    if any((least is not None and i < least) or (most is not None and i > most) for i in ints):
        raise ValueError(f"{name} should hold ints from {least} to {most}, not {ints!r}")


def _check_merge(ids, pair, new_id):
    _check("ids", ids)
    _check("pair", pair)
    _check("new_id", [new_id])


def _check_bytes(name, words):
    if not all(isinstance(word, bytes) for word in words):
        raise TypeError(f"{name} should hold bytes, not {words!r}")


def _checked(word_counts, vocab_size):
    _check_bytes("word_counts", list(word_counts))
    _check("word_counts", list(word_counts.values()), 0)
    _check("vocab_size", [vocab_size], 256)
    return word_counts, vocab_size - 256


def _merge(ids, pair, new_id, other=None, unseen=0):
    out, i = [], 0
    while i < len(ids) - unseen:
        found = tuple(ids[i : i + 2]) in (pair, other)
        out.append(new_id if found else ids[i])
        i += 2 if found else 1
    return out


def _count(words):
    counts = Counter()
    for ids, count in words:
        for pair in pairwise(ids):
            counts[pair] += count
    return counts


def _choose(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair))


def _train(word_counts, rounds, merge=_merge, count=_count, choose=_choose, first_id=256, enough=1):
    words = [(list(word), count) for word, count in word_counts.items()]
    merges = []
    while len(merges) < rounds:
        counts = count(words)
        if not counts or max(counts.values()) < enough:
            break
        best = choose(counts)
        words = [(merge(ids, best, first_id + len(merges)), n) for ids, n in words]
        merges.append(best)
    return merges


def _encode(word, merges, merge=_merge, split=list):
    _check_bytes("word", [word])
    ids = split(word)
    for k, pair in enumerate(merges):
        ids = merge(ids, pair, 256 + k)
    return ids


def _vocabulary(merges):
    vocabulary = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        vocabulary.append(vocabulary[left] + vocabulary[right])
    return vocabulary


def _built_on(merge):
    """What becomes of train and of encode when they use a wrong merge."""
    return (
        lambda word_counts, vocab_size: _train(*_checked(word_counts, vocab_size), merge=merge),
        lambda word, merges: _encode(word, merges, merge),
    )


def merge__advances_by_one(ids, pair, new_id):
    """After a merge you go on by one id, so the right member of the pair is looked at again and stays behind."""
    _check_merge(ids, pair, new_id)
    return [new_id if tuple(ids[i : i + 2]) == pair else ids[i] for i in range(len(ids))]


train__advances_by_one, encode__advances_by_one = _built_on(merge__advances_by_one)


def merge__right_to_left(ids, pair, new_id):
    """You merge from the right: of three equal ids the last two become one, where it should be the first two."""
    _check_merge(ids, pair, new_id)
    return _merge(ids[::-1], pair[::-1], new_id)[::-1]


train__right_to_left, encode__right_to_left = _built_on(merge__right_to_left)


def merge__rescans(ids, pair, new_id):
    """You look at what you have just merged again. When new_id is a member of the pair, that merges too much."""
    _check_merge(ids, pair, new_id)
    out, i = list(ids), 0
    while i < len(out) - 1:
        if (out[i], out[i + 1]) == pair:
            out[i : i + 2] = [new_id]
        else:
            i += 1
    return out


def merge__by_text(ids, pair, new_id):
    """You search in the ids written out as text, where the pair 1 2 is also found at the end of 11 and in 1 21."""
    _check_merge(ids, pair, new_id)
    return [int(i) for i in " ".join(map(str, ids)).replace(f"{pair[0]} {pair[1]}", str(new_id)).split()]


train__by_text, encode__by_text = _built_on(merge__by_text)


def merge__first_only(ids, pair, new_id):
    """You merge the first occurrence of the pair and stop: every occurrence should become the new id."""
    _check_merge(ids, pair, new_id)
    i = next((i for i, found in enumerate(pairwise(ids)) if found == pair), None)
    return list(ids) if i is None else [*ids[:i], new_id, *ids[i + 2 :]]


train__first_only, encode__first_only = _built_on(merge__first_only)


def merge__last_id_lost(ids, pair, new_id):
    """You go over the pairs, and the last id begins none: unless it was merged, it is lost."""
    _check_merge(ids, pair, new_id)
    return _merge(ids, pair, new_id, unseen=1)


train__last_id_lost, encode__last_id_lost = _built_on(merge__last_id_lost)


def merge__overlapping(ids, pair, new_id):
    """You use an id twice: the right member of one occurrence is also taken as the left member of the next."""
    _check_merge(ids, pair, new_id)
    starts = {i for i, found in enumerate(pairwise(ids)) if found == pair}
    return [new_id if i in starts else ids[i] for i in range(len(ids)) if i in starts or i - 1 not in starts]


train__overlapping, encode__overlapping = _built_on(merge__overlapping)


def merge__either_order(ids, pair, new_id):
    """You also merge the pair the other way round: (left, right) and (right, left) are two different pairs."""
    _check_merge(ids, pair, new_id)
    return _merge(ids, pair, new_id, other=pair[::-1])


train__either_order, encode__either_order = _built_on(merge__either_order)


def train__overlaps_not_counted(word_counts, vocab_size):
    """You count aaa as one pair aa: it holds two, because overlapping occurrences all count."""

    def count(words):
        return _count([(p, n * (len(ids) - len(_merge(ids, p, -1)))) for ids, n in words for p in set(pairwise(ids))])

    return _train(*_checked(word_counts, vocab_size), count=count)


def train__once_per_word(word_counts, vocab_size):
    """You count in how many words a pair stands. A pair that stands twice in one word counts twice."""

    def count(words):
        return _count([(pair, n) for ids, n in words for pair in set(pairwise(ids))])

    return _train(*_checked(word_counts, vocab_size), count=count)


def train__counts_ignored(word_counts, vocab_size):
    """You count every word once: a word that occurs five times brings each of its pairs five times."""
    words, rounds = _checked(word_counts, vocab_size)
    return _train({word: min(1, count) for word, count in words.items()}, rounds)


def train__ties_by_insertion(word_counts, vocab_size):
    """On a tie you take the pair that you met first, which depends on the order of the words: take the smallest."""
    return _train(*_checked(word_counts, vocab_size), choose=lambda counts: max(counts, key=counts.__getitem__))


def train__ties_by_greatest(word_counts, vocab_size):
    """On a tie you take the greatest pair, as a maximum over (count, pair) does: the smallest should win."""
    return _train(*_checked(word_counts, vocab_size), choose=lambda counts: max(counts, key=lambda p: (counts[p], p)))


def train__ties_by_bytes(word_counts, vocab_size):
    """On a tie you compare the bytes that the ids stand for: compare the ids, as the two numbers that they are."""
    vocabulary = _vocabulary([])

    def choose(counts):
        best = min(counts, key=lambda pair: (-counts[pair], vocabulary[pair[0]], vocabulary[pair[1]]))
        vocabulary.append(vocabulary[best[0]] + vocabulary[best[1]])
        return best

    return _train(*_checked(word_counts, vocab_size), choose=choose)


def train__across_words(word_counts, vocab_size):
    """You glue the words together. The last byte of one word and the first of the next are no pair."""
    words, rounds = _checked(word_counts, vocab_size)
    return _train({b"".join(word * count for word, count in words.items()): 1}, rounds)


def train__stale_neighbors(word_counts, vocab_size):
    """You count only the new pairs anew. Where a pair was merged, the ids beside it have lost a pair each."""
    kept = {}

    def count(words):
        for pair, n in _count(words).items():
            kept.setdefault(pair, n)
        return kept

    def choose(counts):
        best = _choose(counts)
        kept[best] = 0
        return best

    return _train(*_checked(word_counts, vocab_size), count=count, choose=choose)


def train__counted_only_once(word_counts, vocab_size):
    """You count once and take the most frequent pairs of that count: after every merge the counts are others."""
    words, rounds = _checked(word_counts, vocab_size)
    counts = +_count(words.items())
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[:rounds]


def train__new_id_off_by_one(word_counts, vocab_size):
    """Your first merge creates id 257. The bytes take 0 to 255, so merge k, counted from 0, creates 256 + k."""
    return _train(*_checked(word_counts, vocab_size), first_id=257)


def train__one_merge_too_many(word_counts, vocab_size):
    """You learn one merge too many: vocab_size is the number of all ids, so the last of them is vocab_size - 1."""
    words, rounds = _checked(word_counts, vocab_size)
    return _train(words, rounds + 1)


def train__bytes_not_counted(word_counts, vocab_size):
    """You learn vocab_size merges: it is the size of the whole vocabulary, and 256 of it are the bytes."""
    words, rounds = _checked(word_counts, vocab_size)
    return _train(words, rounds + 256)


def train__stops_at_one(word_counts, vocab_size):
    """You stop when the best pair stands only once. That may be wise, but a count of 1 is above 0: go on."""
    return _train(*_checked(word_counts, vocab_size), enough=2)


def train__merges_what_never_occurs(word_counts, vocab_size):
    """You merge pairs with the count 0: they stand only in words that never occur, so stop before them."""
    return _train(*_checked(word_counts, vocab_size), enough=0)


def train__no_pair_left(word_counts, vocab_size):
    """You ask for the best of no pairs: when every word is one id, stop with the merges that you have."""
    merges = _train(*_checked(word_counts, vocab_size))
    return merges if len(merges) == vocab_size - 256 else max([])


def encode__longest_match(word, merges):
    """You take the longest token that fits: encoding repeats the merges in the order in which they were learned."""
    _check_bytes("word", [word])
    vocabulary, ids = _vocabulary(merges), []
    while word:
        ids.append(max((len(token), i) for i, token in enumerate(vocabulary) if word.startswith(token))[1])
        word = word[len(vocabulary[ids[-1]]) :]
    return ids


def encode__leftmost_first(word, merges):
    """You merge the leftmost pair that is in merges: of all pairs in the word, the one learned first goes first."""
    _check_bytes("word", [word])
    ids = list(word)
    while found := next((pair for pair in pairwise(ids) if pair in merges), None):
        ids = merge__first_only(ids, found, 256 + merges.index(found))
    return ids


def encode__rank_for_id(word, merges):
    """You put the rank of the merge where its id belongs: merge k, counted from 0, creates id 256 + k."""
    return [i - 256 if i > 255 else i for i in _encode(word, merges)]


def encode__characters(word, merges):
    """You begin with the characters of a text: the word is bytes, and é is two of them."""
    return _encode(word, merges, split=lambda word: [ord(character) for character in word.decode()])


def encode__no_pair_in_word(word, merges):
    """You ask for the best of no pairs: a word of one byte or none has none, and stays as it is."""
    ids = _encode(word, merges)
    return ids if len(ids) > 1 else min([])


def decode__tokens_as_text(ids, merges):
    """You decode each token as UTF-8: a token may be half a character, and only bytes can say that."""
    _check("ids", ids, 0, 255 + len(merges))
    return "".join(_vocabulary(merges)[i].decode("utf-8", errors="replace") for i in ids).encode()


def decode__bytes_as_characters(ids, merges):
    """You take each byte for a character and encode it again: from 128 on a character is more than one byte."""
    _check("ids", ids, 0, 255 + len(merges))
    return "".join(map(chr, b"".join(_vocabulary(merges)[i] for i in ids))).encode()


def decode__halves_swapped(ids, merges):
    """You put the right half of a merge before its left half."""
    _check("ids", ids, 0, 255 + len(merges))
    return b"".join(_vocabulary([pair[::-1] for pair in merges])[i] for i in ids)


def decode__counts_from_the_end(ids, merges):
    """You let a list be asked for a negative index, and it answers from its end: an id below 0 is a ValueError."""
    _check("ids", ids, None, 255 + len(merges))
    return b"".join(_vocabulary(merges)[i] for i in ids)


def decode__lookup_error(ids, merges):
    """An id that stands for nothing ends in the lookup's own error: say ValueError, and what ids should hold."""
    _check("ids", ids)
    vocabulary = dict(enumerate(_vocabulary(merges)))
    return b"".join(vocabulary[i] for i in ids)
