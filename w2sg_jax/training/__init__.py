"""Training loops (optax) for the encoders, with resumable checkpoints."""

from .finetune import Classifier as Classifier
from .finetune import FinetuneConfig as FinetuneConfig
from .finetune import finetune as finetune
from .loop import TrainingProgress as TrainingProgress
from .lora import Lora as Lora
from .pretrain import PretrainConfig as PretrainConfig
from .pretrain import Pretrained as Pretrained
from .pretrain import pretrain as pretrain
from .together import pretrain_together as pretrain_together
