"""Questions to a model, called as users call them."""
