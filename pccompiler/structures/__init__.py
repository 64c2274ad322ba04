"""Ready-made circuit structures."""

from pccompiler.structures.hmm import hmm
from pccompiler.structures.mixture import naive_bayes_mixture
from pccompiler.structures.rat_spn import rat_spn

__all__ = ["hmm", "naive_bayes_mixture", "rat_spn"]
