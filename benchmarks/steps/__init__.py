"""Training steps on a GPU, beside other engines and other packages; and on a busy CPU."""
