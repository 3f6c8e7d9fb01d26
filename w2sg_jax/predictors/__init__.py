"""Predictors of weak-to-strong generalization, one file a published one."""

from .factored import Factored as Factored
from .factored import factor as factor
from .predictor import NEEDS as NEEDS
from .predictor import Inputs as Inputs
from .predictor import Model as Model
from .predictor import Predictor as Predictor
from .registry import PREDICTORS as PREDICTORS
from .registry import choose as choose
