"""Masked-token pretraining of an encoder, resumable bit for bit."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, Float32, Int, Integer, PRNGKeyArray

from .._errors import InputError
from ..encoders.tokenizer import CLS, MASK, SPECIAL_TOKENS
from ..encoders.tokens import TokenSet
from ..encoders.transformer import Encoder, EncoderConfig
from ..numerics.checks import as_count
from ..numerics.settings import own_settings
from .batches import BatchPlan
from .checkpoint import TrainingState, run_fingerprint
from .loop import TrainingLoop, TrainingProgress, refuse_diverged

LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class PretrainConfig:
    """How long and how an encoder is trained."""

    steps: int = 500
    """optimizer steps"""
    batch_size: int = 64
    """molecules a step"""
    learning_rate: float = 3e-3
    """peak of the schedule: linear rise over `warmup` of the steps, then a cosine down to 0"""
    warmup: float = 0.1
    """share of the steps that the rise takes"""
    weight_decay: float = 0.01
    """decoupled weight decay of AdamW"""
    mask_rate: float = 0.15
    """share of the tokens to predict"""
    bucket_edges: tuple[int, ...] = (40, 56)
    """padded lengths; one compilation each"""
    seed: int = 0
    """fixes the initial weights, the order of the corpus and the masks"""

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch_size", 1), ("seed", 0)):
            as_count(getattr(self, name), name, least)
        if self.seed > LARGEST_SEED:
            raise InputError(f"seed: got {self.seed}; expected at most {LARGEST_SEED}")
        if not (0 < self.mask_rate < 1 and 0 <= self.warmup < 1):
            raise InputError(f"mask_rate, warmup: expected shares of 1, got {self.mask_rate} and {self.warmup}")
        if not self.learning_rate > 0 or not self.weight_decay >= 0:
            raise InputError(
                f"learning_rate, weight_decay: expected > 0 and >= 0, got {self.learning_rate} and {self.weight_decay}"
            )


@dataclass(frozen=True)
class Pretrained:
    """A trained encoder and how it got there."""

    encoder: Encoder
    """the encoder, float32 weights"""
    losses: Float32[np.ndarray, " steps"]
    """masked-token cross-entropy of every step, nats"""


def pretrain(
    encoder: EncoderConfig,
    tokens: TokenSet,
    config: PretrainConfig,
    *,
    checkpoint: Path | None = None,
    checkpoint_every: int = 100,
    report_every: int = 10,
    on_progress: Callable[[TrainingProgress], None] | None = None,
) -> Pretrained:
    """Train an encoder to predict masked tokens: AdamW, linear warm-up, cosine decay.

    With a checkpoint path the state is saved every `checkpoint_every` steps and at the end; if the file
    exists, the run goes on from it and ends with the same bits as one that was never interrupted (on the same
    machine and versions). The last checkpoint stays: deleting it is the caller's choice.

    Args:
        encoder: Shape of the encoder; its vocabulary must cover `tokens`.
        tokens: The corpus.
        config: Length and details of the training.
        checkpoint: File of the run's state, or None.
        checkpoint_every: Steps between two checkpoints.
        report_every: Steps between two calls of `on_progress`.
        on_progress: Called while training; an exception from it ends the run; the last checkpoint is valid.

    Raises:
        InputError: a row longer than the last bucket, an identifier outside the vocabulary, a checkpoint of another
            run, or a number of steps below 1.
        FloatingPointError: the loss is no longer finite.

    Cost: about 3 forward passes a step; one compilation for each bucket.
    """
    check_vocabulary(encoder, tokens)
    plan = BatchPlan(tokens, config.bucket_edges, config.batch_size, config.seed)
    graph, state = initial_state(encoder, config)
    fingerprint = run_fingerprint(encoder, tokens, config)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, optimizer_state: Any, ids: Int[Array, "batch length"], index: Int[Array, ""]) -> Any:
        return train_step(graph, config, make_optimizer(config), config.seed, index, params, optimizer_state, ids)

    def check(losses: np.ndarray) -> None:
        refuse_diverged(losses, "the loss")

    loop = TrainingLoop(step, plan, check, checkpoint, fingerprint, checkpoint_every, report_every, on_progress)
    state = loop.run(state)
    return Pretrained(nnx.merge(graph, state.params), state.losses)


def check_vocabulary(encoder: EncoderConfig, tokens: TokenSet) -> None:
    """Refuse a corpus with identifiers that the encoder has no embedding for."""
    if int(tokens.ids.max()) >= encoder.vocabulary:
        raise InputError(
            f"tokens: {tokens.ids.max()} is outside the encoder's vocabulary ({encoder.vocabulary}); "
            "use the size of the tokenizer"
        )


@own_settings()  # Flax and Optax fill arrays with numbers, step by step
def initial_state(encoder: EncoderConfig, config: PretrainConfig) -> tuple[nnx.GraphDef[Encoder], TrainingState]:
    """The state before the first step, a function of the two configurations alone."""
    graph, variables = nnx.split(Encoder(encoder, rngs=nnx.Rngs(config.seed)), nnx.Param)
    params = nnx.to_pure_dict(variables)
    losses = np.full(config.steps, np.nan, np.float32)
    return graph, TrainingState(params, make_optimizer(config).init(params), np.array(0, np.int32), losses)


def warmup_steps(config: PretrainConfig) -> int:
    """Steps over which the learning rate rises."""
    return max(1, round(config.warmup * config.steps))


def make_optimizer(config: PretrainConfig) -> optax.GradientTransformation:
    """AdamW; its rate rises linearly over the first `warmup` of the steps, then falls to 0 as a cosine."""
    rise = warmup_steps(config)
    rate = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, rise, max(config.steps, rise + 1))
    return adamw(rate, config)


def adamw(rate: optax.Schedule, config: PretrainConfig) -> optax.GradientTransformation:
    """AdamW with a learning rate that is a function of the step."""
    return optax.adamw(rate, b2=0.98, weight_decay=config.weight_decay)


def train_step(
    graph: nnx.GraphDef[Encoder],
    config: PretrainConfig,
    optimizer: optax.GradientTransformation,
    seed: Integer[Array, ""] | int,
    step: Int[Array, ""],
    params: Any,
    optimizer_state: Any,
    ids: Int[Array, "batch length"],
) -> tuple[Any, Any, Float[Array, ""]]:
    """One step on the mean cross-entropy of masked tokens; a seed always draws the same masks at step t."""
    key = jax.random.fold_in(jax.random.key(seed), step)
    vocabulary = params["embed"]["embedding"].shape[0]
    corrupted, targets = mask_tokens(key, ids, vocabulary=vocabulary, rate=config.mask_rate)

    def masked_loss(weights: Any) -> Float[Array, ""]:
        encoder = nnx.merge(graph, weights)
        logits = encoder.logits(encoder(corrupted))
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, ids)
        chosen = targets.astype(losses.dtype)
        return jnp.sum(losses * chosen) / jnp.maximum(jnp.sum(chosen), 1)

    loss, gradient = jax.value_and_grad(masked_loss)(params)
    with own_settings():  # Optax multiplies integers and floats
        updates, optimizer_state = optimizer.update(gradient, optimizer_state, params)
        return optax.apply_updates(params, updates), optimizer_state, loss


def mask_tokens(
    key: PRNGKeyArray, ids: Int[Array, "batch length"], *, vocabulary: int, rate: float
) -> tuple[Int[Array, "batch length"], Bool[Array, "batch length"]]:
    """Choose targets and corrupt them: 80% become [MASK], 10% a random token, 10% stay as they are.

    Padding and [CLS] are never chosen. Draws are float32 and int32 whatever the default precision, so that a
    seed gives the same choices with x64 on and off.

    Args:
        key: Random key.
        ids: Identifiers, 0 where padded.
        vocabulary: Number of identifiers, special ones included.
        rate: Share of the tokens that become targets, 0 to 1.

    Returns:
        The corrupted identifiers, and where the targets are.
    """
    key_target, key_how, key_token = jax.random.split(key, 3)
    targets = (jax.random.uniform(key_target, ids.shape, jnp.float32) < rate) & (ids != 0) & (ids != CLS)
    how = jax.random.uniform(key_how, ids.shape, jnp.float32)
    random_ids = jax.random.randint(key_token, ids.shape, len(SPECIAL_TOKENS), vocabulary, jnp.int32).astype(ids.dtype)
    corrupted = jnp.where(how < 0.8, MASK, jnp.where(how < 0.9, random_ids, ids))
    return jnp.where(targets, corrupted, ids), targets
