"""Every reader of ours, small content that it takes, and how that content is damaged."""
