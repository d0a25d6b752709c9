"""What a model is asked to do, and how an answer is judged."""
