"""Where the nodes and edges of a picture are."""
