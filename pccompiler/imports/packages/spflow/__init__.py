"""Circuits of SPFlow: nodes of its versions 0, and modules of version 1."""
