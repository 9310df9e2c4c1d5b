"""Models. Parallelism, precision and compilation are applied from outside.

Shape letters, as suffixes of tensor names (`x_BTD`): B sequences, T positions, D d_model, H heads, K head_dim,
F feed-forward width, V vocabulary (padded), N = B*T rows, C rows of one chunk.
"""
