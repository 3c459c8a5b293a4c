"""The training ground: one loop, models on disk, and their cards. It imports torch.

The function `fit` has the name of the module that holds it. The import below binds the name to the function;
`from conjugo.learned.training.fit import fit` works as well.
"""

from __future__ import annotations

from conjugo.learned.training.cards import write_card
from conjugo.learned.training.config import FitConfig
from conjugo.learned.training.distributed import rank
from conjugo.learned.training.fit import fit
from conjugo.learned.training.history import History, StepRecord
from conjugo.learned.training.models import MODELS, load_model, load_weights, save_model, weights_path
from conjugo.learned.training.tensorboard import tensorboard

__all__ = [
    "MODELS",
    "FitConfig",
    "History",
    "StepRecord",
    "fit",
    "load_model",
    "load_weights",
    "rank",
    "save_model",
    "tensorboard",
    "weights_path",
    "write_card",
]
