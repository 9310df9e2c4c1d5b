"""What is applied to a model from outside: ranks, number formats, compilation."""
