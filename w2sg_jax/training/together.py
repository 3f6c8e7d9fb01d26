"""Many encoders of one shape trained together: one program, one reading of the corpus, one checkpoint."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from .._errors import InputError
from ..encoders.tokens import TokenSet
from ..encoders.transformer import Encoder, EncoderConfig
from ..numerics.backend import mapped_together
from ..numerics.checks import as_count
from ..numerics.settings import own_settings
from .batches import BatchPlan
from .checkpoint import TrainingState, run_fingerprint
from .loop import TrainingLoop, TrainingProgress, refuse_diverged
from .pretrain import PretrainConfig, Pretrained, adamw, check_vocabulary, initial_state, train_step, warmup_steps


class _Members(NamedTuple):
    """What differs between K models; arrays (K,)."""

    seed: Any
    steps: Any
    warmup: Any
    learning_rate: Any


def pretrain_together(
    encoder: EncoderConfig,
    tokens: TokenSet,
    configs: Sequence[PretrainConfig],
    *,
    order_seed: int = 0,
    at_once: int | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 100,
    report_every: int = 10,
    on_progress: Callable[[TrainingProgress], None] | None = None,
) -> list[Pretrained]:
    """Train K encoders of one shape, as ``pretrain`` trains one, but all on the same batches in the same order.

    Models differ in their seed (initial weights and masks), their number of steps and their learning rate; one that has
    finished stands still. A checkpoint holds the whole group: a killed run goes on from it, with the same bits.

    Args:
        encoder: Shape of all encoders; its vocabulary must cover `tokens`.
        tokens: The corpus.
        configs: One for each model; they may differ in `seed`, `steps` and `learning_rate` alone.
        order_seed: Fixes the order of the corpus.
        at_once: Models that a device works on at the same time (vmap), the others wait; by default all, but on a CPU
            one, which has the cores busy already and skips those that have finished.
        checkpoint, checkpoint_every, report_every, on_progress: As in ``pretrain``; steps are those of the longest.

    Returns:
        The encoders and their losses, in the order of `configs`.

    Raises:
        InputError: as ``pretrain``; no model, or models that differ in something else.
        FloatingPointError: a loss is no longer finite; the model is named by its number and seed.

    Cost: as the models one by one; one compilation for each bucket, whatever K.
    """
    _check(encoder, tokens, configs)
    as_count(order_seed, "order_seed", 0)
    at_once = as_count(at_once, "at_once", 1) if at_once is not None else mapped_together(len(configs)) or 1
    longest, members = max(config.steps for config in configs), jax.device_put(_members(configs))
    plan = BatchPlan(tokens, configs[0].bucket_edges, configs[0].batch_size, order_seed)
    graph, state = _initial(encoder, configs, longest)
    fingerprint = run_fingerprint(encoder, tokens, *configs, replace(configs[0], seed=order_seed))
    step = functools.partial(_step(graph, configs[0], at_once), members)

    def check(losses: np.ndarray) -> None:
        for number, config in enumerate(configs):
            refuse_diverged(losses[: config.steps, number], f"model {number} (seed {config.seed}): loss")

    loop = TrainingLoop(step, plan, check, checkpoint, fingerprint, checkpoint_every, report_every, on_progress)
    state = loop.run(state)
    with own_settings():  # the number of a model goes to the device
        each = [jax.tree.map(lambda x, k=number: x[k], state.params) for number in range(len(configs))]
    return [
        Pretrained(nnx.merge(graph, params), losses[: config.steps])
        for config, params, losses in zip(configs, each, state.losses.T.copy(), strict=True)
    ]


def _check(encoder: EncoderConfig, tokens: TokenSet, configs: Sequence[PretrainConfig]) -> None:
    if not configs:
        raise InputError("configs: empty; pass one for each model")
    first = configs[0]
    for number, config in enumerate(configs):
        if replace(config, seed=first.seed, steps=first.steps, learning_rate=first.learning_rate) != first:
            raise InputError(
                f"configs: model {number} differs from model 0 in more than seed, steps and learning_rate;"
                " train it in another group"
            )
    check_vocabulary(encoder, tokens)


def _members(configs: Sequence[PretrainConfig]) -> _Members:
    return _Members(
        np.array([config.seed for config in configs], np.uint32),
        np.array([config.steps for config in configs], np.int32),
        np.array([warmup_steps(config) for config in configs], np.int32),
        np.array([config.learning_rate for config in configs], np.float32),
    )


@own_settings()
def _initial(
    encoder: EncoderConfig, configs: Sequence[PretrainConfig], longest: int
) -> tuple[nnx.GraphDef[Encoder], TrainingState]:
    """The states of all models before the first step, stacked."""
    graphs, states = zip(*(initial_state(encoder, config) for config in configs), strict=True)
    params, optimizer = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *((state.params, state.optimizer) for state in states)
    )
    losses = np.full((longest, len(configs)), np.nan, np.float32)
    return graphs[0], TrainingState(params, optimizer, np.array(0, np.int32), losses)


def _step(graph: nnx.GraphDef[Encoder], config: PretrainConfig, at_once: int) -> Callable:
    """One step of every model that has not finished; the losses of the others are NaN."""

    @functools.partial(jax.jit, donate_argnums=(1, 2))
    def step(members: _Members, params: Any, optimizer: Any, ids: Int[Array, "batch length"], index: Int[Array, ""]):
        def one(model: tuple[_Members, Any, Any]) -> Any:
            member, *state = model

            def trained(params: Any, optimizer: Any) -> Any:
                rate = functools.partial(warmup_cosine, member=member)
                return train_step(graph, config, adamw(rate, config), member.seed, index, params, optimizer, ids)

            def finished(params: Any, optimizer: Any) -> Any:
                return params, optimizer, jnp.full((), jnp.nan, jnp.float32)

            return jax.lax.cond(index < member.steps, trained, finished, *state)

        return jax.lax.map(one, (members, params, optimizer), batch_size=None if at_once == 1 else at_once)

    return step


def warmup_cosine(count: Any, member: _Members) -> Float[Array, ""]:
    r"""The learning rate at step ``count``: ``optax.warmup_cosine_decay_schedule``, with arrays for its numbers.

    $r \frac{t}{w}$ up to step $w$, then $\frac{r}{2} (1 + \cos \pi \frac{t - w}{T - w})$ up to step $T$.
    """
    fall = (count - member.warmup) / jnp.maximum(member.steps - member.warmup, 1)
    cosine = (1 + jnp.cos(jnp.pi * jnp.clip(fall, 0.0, 1.0))) / 2
    return member.learning_rate * jnp.where(count < member.warmup, count / member.warmup, cosine)
