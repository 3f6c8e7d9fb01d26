"""The state of a long run in a folder, by Orbax: sharded arrays, written by whoever holds them, whole or not at all."""

from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np

from .._errors import InputError

KEPT = 2
"""The last ones: an earlier one is there while a new one is written."""
STATE, ABOUT = "state", "about"


class StepCheckpoints:
    """Checkpoints by the number of steps done; a context, at whose end what is being written is waited for.

    Args:
        folder: made if need be; None: nothing is kept.
        fingerprint: hash of what the run depends on.
    """

    def __init__(self, folder: Path | None, fingerprint: str):
        self.folder, self.fingerprint, self._manager = folder, fingerprint, None
        if folder is not None:
            from orbax import checkpoint as ocp  # takes a second to import

            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(
                    f"checkpoint: {folder} cannot be made ({error.strerror}); give another folder"
                ) from None
            self._manager = ocp.CheckpointManager(
                folder.absolute(),
                item_names=(STATE, ABOUT),
                options=ocp.CheckpointManagerOptions(max_to_keep=KEPT, create=True),
            )

    def __enter__(self) -> "StepCheckpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._manager is not None:
            self._manager.close()

    def save(self, step: int, state: Any) -> None:
        """Keep a tree of arrays; it is copied before this returns, and written while the run goes on."""
        if self._manager is None:
            return
        from orbax import checkpoint as ocp

        about = {"fingerprint": self.fingerprint}
        args = ocp.args.Composite(**{STATE: ocp.args.StandardSave(state), ABOUT: ocp.args.JsonSave(about)})
        self._manager.save(step, args=args)

    def load(self, like: Any) -> tuple[int, Any] | None:
        """The steps done and the last state, on the devices of ``like``; None where there is none.

        Raises:
            InputError: it is of another run, or damaged.
        """
        if self._manager is None or (step := self._manager.latest_step()) is None:
            return None
        from orbax import checkpoint as ocp

        try:
            args = ocp.args.Composite(**{ABOUT: ocp.args.JsonRestore()})
            about = self._manager.restore(step, args=args)[ABOUT]
            if about == {"fingerprint": self.fingerprint}:
                wanted = jax.tree.map(_described, like)
                args = ocp.args.Composite(**{STATE: ocp.args.StandardRestore(wanted)})
                return step, self._manager.restore(step, args=args)[STATE]
        except (OSError, ValueError, KeyError, TypeError) as error:
            words = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise InputError(
                f"checkpoint: step {step} in {self.folder} cannot be read ({words}); delete that folder to go on from "
                "the one before"
            ) from None
        raise InputError(
            f"checkpoint: {self.folder} belongs to another run (another model, configuration or texts); give another "
            "folder, or delete it to start again"
        )


def _described(x: Any) -> Any:
    """Shape, type and place."""
    return x if isinstance(x, np.ndarray) else jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
