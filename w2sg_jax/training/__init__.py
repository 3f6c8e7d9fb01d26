"""Training loops (optax) for the encoders, with resumable checkpoints."""

from .loop import TrainingProgress as TrainingProgress
from .pretrain import PretrainConfig as PretrainConfig
from .pretrain import Pretrained as Pretrained
from .pretrain import pretrain as pretrain
from .together import pretrain_together as pretrain_together
