"""Maximum a posteriori: branch and bound."""
