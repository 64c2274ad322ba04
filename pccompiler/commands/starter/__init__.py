"""``pccompiler new`` and the files of a new project."""
