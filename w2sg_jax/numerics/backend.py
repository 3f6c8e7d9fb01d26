"""Where and how precisely dense work is done: the one fork between host and device.

A computation is written once, in the operations of ``linalg`` (its first argument, ``la``), and runs by the host's
LAPACK on a CPU, or beside an accelerator that is slow in float64; else by JAX on the device. ``by_backend`` chooses at
each call, ``resident`` keeps the operands where the work is. On a CPU both would do, and the host is faster (the
threads of two libraries would take the cores from each other: see ``linalg``).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh

from .checks import check_option
from .linalg import Device, Host, eigenvalues
from .settings import wide_types

FAST_FLOAT64 = re.compile(r"\b(P100|V100|A100|A800|A30|H100|H800|H200|GH200|B100|B200|GB200|MI\d{2,3}\w?)\b")
"""Accelerators whose float64 products run at a half of their float32 rate or more, by their names."""
FILLING = 1024
"""Columns of a matrix whose factorisation occupies an accelerator by itself; wider ones in a batch gain nothing."""
MOST_TOGETHER = 32
"""Pairs in a batch; more would not make the products faster."""
MOST_PROGRAMS = 8
"""Widths up to this number keep their own programs; padding costs time in every run, a program only once."""


def product_dtype(dtype: str | None, mesh: Mesh | None) -> str:
    """The precision of products over samples: the one asked for, or that of the devices which compute them.

    Args:
        dtype: "float64", "float32", or None: float64 on CPUs and on accelerators that have it at speed, else float32
            (products pinned to full float32, a block at a time, their sums in float64).
        mesh: the devices; None for the first one.

    Raises:
        InputError: another word.
    """
    if dtype is None:
        devices = jax.devices()[:1] if mesh is None else mesh.devices.flat
        return "float64" if all(fast_float64(device) for device in devices) else "float32"
    check_option(dtype, "dtype", ("float64", "float32"))
    return dtype


def fast_float64(device: Any) -> bool:
    """Whether a device has float64 at speed."""
    return device.platform == "cpu" or FAST_FLOAT64.search(device.device_kind) is not None


def on_cpu() -> bool:
    """Whether JAX's default device is a CPU."""
    return jax.default_backend() == "cpu"


def on_host() -> bool:
    """Whether the host's BLAS and LAPACK do the dense float64 work: on a CPU, or beside a slow accelerator."""
    return on_cpu() or not fast_float64(jax.devices()[0])


@contextmanager
def float64() -> Iterator[None]:
    """64-bit types, and computations on the default device, or on the CPU where that one has no fast float64."""
    device = None if fast_float64(jax.devices()[0]) else jax.local_devices(backend="cpu")[0]
    with wide_types(), jax.default_device(device):
        yield


COMPILER_OPTIONS: dict[str, dict[str, Any]] = {"gpu": {"xla_gpu_enable_triton_gemm": False}}
"""By backend. XLA would try a hundred kernels of its own for each product: in full float32 that took 17 to 47 seconds a
program on an H100, where the vendor's library takes 2 and the program then runs as fast."""


def jitted(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """``jax.jit`` with our compiler options, for what is called from Python and never inside another program."""
    programs: dict[str, Callable[..., Any]] = {}

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        backend = jax.default_backend()
        if backend not in programs:
            programs[backend] = jax.jit(function, compiler_options=COMPILER_OPTIONS.get(backend), **options)
        return programs[backend](*args, **kwargs)

    return run


def compiled(
    kernel: Callable[..., Any], *, static: Sequence[str] = (), fetch: bool | None = True
) -> Callable[..., Any]:
    """A pure JAX function as one of arrays anywhere: compiled once, run in float64.

    Args:
        kernel: its arguments and results are pytrees of arrays.
        static: names of keyword arguments that a program is compiled for each value of.
        fetch: whether its results become NumPy arrays; else they stay on the device. None: as ``on_host`` says.
    """
    program = jitted(kernel, static_argnames=tuple(static))

    @wraps(kernel)
    def run(*arrays: Any, **named: Any) -> Any:
        with float64():
            found = program(*jax.device_put(arrays), **named)
            return jax.device_get(found) if fetch or (fetch is None and on_host()) else found

    return run


def by_backend(kernel: Callable[..., Any], *, static: Sequence[str] = (), fetch: bool = True) -> Callable[..., Any]:
    """``kernel(la, *arrays, **named)`` as a function of the arrays, by the host or by the device as ``on_host`` says.

    Args:
        kernel: written in operations that ``Host`` and ``Device`` both have.
        static, fetch: as in ``compiled``.
    """
    on_device = compiled(partial(kernel, Device()), static=static, fetch=fetch)

    @wraps(kernel)
    def run(*arrays: Any, **named: Any) -> Any:
        return kernel(Host(), *arrays, **named) if on_host() else on_device(*arrays, **named)

    return run


def resident(kernel: Callable[..., Any], *operands: Any) -> Callable[[np.ndarray], np.ndarray]:
    """x -> ``kernel(la, *operands, x)``, with the operands placed once: for iterations.

    Args:
        kernel: as in ``by_backend``; a function of a module, so that its program is compiled once.
        operands: what does not change from one call to the next.
    """
    if on_host():
        return partial(kernel, Host(), *operands)
    with float64():
        placed = jax.device_put(operands)

    def apply(x: np.ndarray) -> np.ndarray:
        with float64():
            return jax.device_get(_program_of(kernel)(*placed, jax.device_put(x)))

    return apply


@cache
def _program_of(kernel: Callable[..., Any]) -> Callable[..., Any]:
    return jitted(partial(kernel, Device()))


divided = by_backend(lambda la, x, by: x / by, fetch=False)
times = by_backend(lambda la, a, b: la.product(a, b))
cross = by_backend(lambda la, a, b: la.cross(a, b))
side_by_side = by_backend(lambda la, *parts: la.columns(*parts), fetch=False)


def fetched(x: Any) -> Any:
    """An array on the host; a traced one stays as it is."""
    return jax.device_get(x) if isinstance(x, jax.Array) and not isinstance(x, Tracer) else x


def cut(x: Any, rows: slice, columns: slice) -> Any:
    """``x[rows, columns]`` where x is: a view on the host, a copy on a device."""
    if not isinstance(x, jax.Array):
        return x[rows, columns]
    with float64():
        return x[rows, columns]


def all_finite(*arrays: Any) -> bool:
    """Whether no entry is NaN or infinite, asked where the arrays are."""
    return all(bool(_all_finite(x) if isinstance(x, jax.Array) else np.isfinite(x).all()) for x in arrays)


def eigenvalues_of(s: Any) -> np.ndarray:
    """Eigenvalues of a symmetric matrix, descending, computed where it is."""
    return _eigenvalues(s) if isinstance(s, jax.Array) else eigenvalues(s)


_eigenvalues = compiled(lambda s: jnp.linalg.eigvalsh(s)[::-1])
_all_finite = compiled(lambda x: jnp.isfinite(x).all())


def device_memory() -> int | None:
    """Bytes of the default device; None where it does not tell, as on a CPU."""
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")


@cache
def flash_attention(dtype: Any, head_width: int) -> bool:
    """Whether the default device has an attention that keeps no scores, for heads of a width: cuDNN's, on a GPU.

    Asked by compiling it once for a few tokens: which widths and cards it takes changes with its versions.
    """
    if jax.default_backend() != "gpu" or jnp.dtype(dtype) not in (jnp.bfloat16, jnp.float16):
        return False
    few = jax.ShapeDtypeStruct((1, 16, 1, head_width), dtype)
    count = jax.ShapeDtypeStruct((1,), jnp.int32)

    def run(x: Any, lengths: Any) -> Any:
        return jax.nn.dot_product_attention(
            x, x, x, query_seq_lengths=lengths, key_value_seq_lengths=lengths, is_causal=True, implementation="cudnn"
        )

    try:
        jax.jit(run).lower(few, count).compile()
    except Exception:  # whatever it lacks: XLA's attention is there
        return False
    return True


def batch_size(width: int, bytes_each: int) -> int | None:
    """Pairs of models that ``jax.lax.map`` takes at a time: one by one (None) where a matrix fills the device alone.

    Args:
        width: of the largest matrix of a pair.
        bytes_each: that a pair needs.
    """
    memory = device_memory()
    if memory is None or width > FILLING:
        return None
    return max(1, min(MOST_TOGETHER, memory // 8 // bytes_each))


def mapped_together(most: int) -> int | None:
    """Items that ``jax.lax.map`` takes at a time, its ``batch_size``: so many on an accelerator, one by one on a CPU.

    On a CPU, JAX hands a batch of decompositions to its pool of threads and waits for them on one of these; two batches
    at once on two cores wait for ever. Other work is no faster in a batch there, with the cores busy already.
    """
    return None if on_cpu() else max(1, most)


def padded_widths(widths: Iterable[int]) -> dict[int, int]:
    """Which width each one is padded to: itself while they are few, else the next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...

    A column of zeros is a direction without variance: it is never kept, and changes nothing else.
    """
    distinct = set(widths)
    if len(distinct) <= MOST_PROGRAMS:
        return {width: width for width in distinct}
    return {width: bucket(width) for width in distinct}


def bucket(width: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ..."""
    power = 1 << (width - 1).bit_length()
    between = 3 * power // 4
    return between if width <= between and power >= 4 else power
