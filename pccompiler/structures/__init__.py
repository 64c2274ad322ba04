"""Ready-made circuit structures."""

from pccompiler.structures.chow_liu import ChowLiuTree, chow_liu, chow_liu_tree
from pccompiler.structures.hclt import hclt
from pccompiler.structures.hmm import hmm
from pccompiler.structures.learn_spn import learn_spn
from pccompiler.structures.mixture import naive_bayes_mixture
from pccompiler.structures.mixture_of import mixture_of
from pccompiler.structures.poon_domingos import poon_domingos
from pccompiler.structures.quad import quad_graph, quad_tree
from pccompiler.structures.random_tree import random_tree
from pccompiler.structures.rat_spn import rat_spn
from pccompiler.structures.tools.structured_sums import low_rank_sums, monarch_sums

__all__ = [
    "ChowLiuTree",
    "chow_liu",
    "chow_liu_tree",
    "hclt",
    "hmm",
    "learn_spn",
    "low_rank_sums",
    "mixture_of",
    "monarch_sums",
    "naive_bayes_mixture",
    "poon_domingos",
    "quad_graph",
    "quad_tree",
    "random_tree",
    "rat_spn",
]
