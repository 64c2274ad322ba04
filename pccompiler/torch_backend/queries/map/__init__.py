"""Maximum a posteriori inference by branch and bound."""
