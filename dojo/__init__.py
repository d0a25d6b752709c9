"""What makes practising pleasant and grading fair: loading, checking, diagnosis, progress, hints, proofs."""
