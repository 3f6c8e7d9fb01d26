"""Training loops (optax) for the encoders, with resumable checkpoints."""

from w2sg_jax.training.pretrain import PretrainConfig as PretrainConfig
from w2sg_jax.training.pretrain import Pretrained as Pretrained
from w2sg_jax.training.pretrain import TrainingProgress as TrainingProgress
from w2sg_jax.training.pretrain import pretrain as pretrain
