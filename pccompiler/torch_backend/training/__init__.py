"""Training by gradient and by EM."""
