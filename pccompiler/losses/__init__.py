"""Losses for ``pccompiler.fit(loss=)``."""

from pccompiler.torch_backend.training.losses import HybridLoss, Loss, discriminative, hybrid

__all__ = ["HybridLoss", "Loss", "discriminative", "hybrid"]
