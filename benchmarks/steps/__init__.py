"""Training steps on a GPU, compared with other engines and packages; and on a busy CPU."""
