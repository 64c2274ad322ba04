"""Callbacks: who watches a training, and may stop it."""
