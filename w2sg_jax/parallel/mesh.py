"""Which devices share the work, as a mesh."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from .._errors import InputError

ROW_AXIS, COLUMN_AXIS = "rows", "columns"


def as_mesh(devices: Any) -> Mesh | None:
    """Return the mesh of (rows, columns) that was asked for.

    Args:
        devices: "all" of this process; some of ``jax.local_devices()``, which share the rows; a Mesh with the axes
            "rows" and "columns", whose column devices share wide sums; or None for the host (on a CPU) or the first
            accelerator.

    Raises:
        InputError: something else, no device, or one of another process.
    """
    if devices is None:
        return None
    if isinstance(devices, Mesh):
        if set(devices.axis_names) != {ROW_AXIS, COLUMN_AXIS}:
            raise InputError(
                f"devices: a mesh with the axes {devices.axis_names}; expected {ROW_AXIS!r} and {COLUMN_AXIS!r}"
            )
        return _own(devices)
    if isinstance(devices, str) and devices == "all":
        return mesh_of(jax.local_devices())
    if isinstance(devices, str) or not isinstance(devices, Sequence):
        raise InputError(f"devices: got {devices!r}; expected None, 'all' or a sequence of jax.devices()")
    if len(devices) == 0:
        raise InputError("devices: empty; pass at least one")
    if not all(isinstance(device, jax.Device) for device in devices):
        raise InputError(f"devices: got {devices!r}; expected None, 'all' or a sequence of jax.devices()")
    return _own(mesh_of(devices))


def _own(mesh: Mesh) -> Mesh:
    """Refuse devices of other processes: each process adds up its own samples."""
    if any(device.process_index != jax.process_index() for device in mesh.devices.flat):
        raise InputError("devices: some belong to other processes; pass those of this one, jax.local_devices()")
    return mesh


def mesh_of(devices: Sequence[Any], columns: int = 1) -> Mesh:
    """Devices as a mesh of (rows, columns)."""
    return Mesh(np.asarray(devices).reshape(-1, columns), (ROW_AXIS, COLUMN_AXIS))
