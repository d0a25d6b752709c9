"""Conversations in rows: every token once when flat, whole conversations when packed, and going on anywhere."""

from __future__ import annotations

import pytest
import torch

from reference.data.chat_loader import ChatLoader
from reference.errors import UserError
from reference.parts import Parts
from reference.tasks.task import Conversation, exchange
from reference.tokenizer import train_tokenizer

PARTS = Parts()
TOKENIZER = train_tokenizer(["What is it? It is a cat, a dog, or the sun over the sea. "] * 9, 300, PARTS)
CONVERSATIONS: list[Conversation] = [
    exchange(f"What is {i}?" * (1 + i % 3), f"It is a cat {i}. " * (i % 5 + 1)) for i in range(11)
]
RENDERED = [TOKENIZER.render(conversation, PARTS) for conversation in CONVERSATIONS]
LONGEST = max(len(ids) for ids, _ in RENDERED)


def loader(
    flat: bool, B: int = 2, T: int = 40, rank: int = 0, size: int = 1, position: dict | None = None
) -> ChatLoader:
    return ChatLoader(CONVERSATIONS, TOKENIZER, PARTS, B, T, flat, rank, size, position)


def test_flat_rows_leave_nothing_out() -> None:
    """Row after row the targets are the conversations one behind the other, epoch after epoch, all to be learned."""
    rows = loader(flat=True)
    batches = [rows.next_batch() for _ in range(12)]
    ids = torch.cat([ids for ids, _ in batches])
    assert ids.shape == (24, 41)
    assert all(mask.all() for _, mask in batches)
    stream = [token for ids, _ in RENDERED * 9 for token in ids]
    assert ids[:, 1:].flatten().tolist() == stream[1 : 1 + 24 * 40]
    assert ids[1:, 0].tolist() == ids[:-1, -1].tolist()


def test_packed_rows_hold_whole_conversations() -> None:
    """A row begins with bos, holds conversations whole under their own mask, and then padding that is not learned."""
    T = LONGEST + 20
    rows = loader(flat=False, B=3, T=T)
    expected = RENDERED * 3
    for _ in range(3):
        ids, mask = rows.next_batch()
        for row, learned in zip(ids.tolist(), mask.int().tolist(), strict=True):
            packed = 0
            while packed + len(expected[0][0]) <= T + 1:
                of_one, mask_of_one = expected.pop(0)
                assert row[packed : packed + len(of_one)] == of_one
                assert learned[packed : packed + len(of_one)] == mask_of_one
                packed += len(of_one)
            assert packed
            assert set(row[packed:]) <= {TOKENIZER.special["assistant_end"]}
            assert not any(learned[packed:])


def test_a_conversation_longer_than_a_row_is_cut() -> None:
    """It takes a row alone, its beginning, and the next row begins with the next conversation."""
    ids, _ = loader(flat=False, B=11, T=12).next_batch()
    assert ids.tolist() == [of_one[:13] for of_one, _ in RENDERED]


@pytest.mark.parametrize("flat", [True, False])
def test_going_on(flat: bool) -> None:
    """From any position a new loader gives what the old one would have given."""
    rows = loader(flat, T=LONGEST)
    positions, batches = [], []
    for _ in range(8):
        positions.append(rows.position)
        batches.append(rows.next_batch())
    for start, position in enumerate(positions):
        again = loader(flat, T=LONGEST, position=position)
        for ids, mask in batches[start:]:
            new_ids, new_mask = again.next_batch()
            assert torch.equal(new_ids, ids)
            assert torch.equal(new_mask, mask)


def test_ranks_share_the_conversations() -> None:
    """Three processes take each conversation once an epoch between them, whatever its number."""
    begins = []
    for rank in range(3):
        ids, _ = loader(flat=False, B=11, T=12, rank=rank, size=3).next_batch()
        begins += ids.tolist()
    assert sorted(begins) == sorted(of_one[:13] for of_one, _ in RENDERED * 3)


def test_without_conversations() -> None:
    """An empty mixture is refused in a sentence."""
    with pytest.raises(UserError, match=r"^There is no conversation at all"):
        ChatLoader([], TOKENIZER, PARTS, 1, 8, flat=True)
