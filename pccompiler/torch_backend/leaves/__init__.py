"""Leaf families in torch, and input layers."""
