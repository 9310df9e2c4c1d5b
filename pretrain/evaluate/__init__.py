"""What a model has learnt: loss on held-out and on seen text, continuations of prompts."""
