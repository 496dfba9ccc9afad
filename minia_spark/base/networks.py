"""TensorFlow, where it is installed: only what works with networks loads it, and when it does."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from minia_spark.base.errors import SettingsError

__all__ = ["load_tensorflow", "require_tensorflow"]


def require_tensorflow(purpose: str) -> None:
    """Raise SettingsError where TensorFlow is not installed; it is not loaded.

    Parameters
    ----------
    purpose : str
        What needs it, as the beginning of the sentence.
    """
    if "tensorflow" not in sys.modules and importlib.util.find_spec("tensorflow") is None:
        raise SettingsError(
            f"{purpose} needs TensorFlow, which is not installed: pip install "
            "'minia-spark[networks]'"
        )


def load_tensorflow(threads: int | None = None, gpu: int | str | None = "all") -> Any:
    """Import TensorFlow, without what it says about itself as it starts.

    Threads and devices can be chosen once in a process, before the first tensor: what a later call
    asks for is left as it is.

    Parameters
    ----------
    threads : int or None
        That one operation may use; None: TensorFlow's own choice, all cores.
    gpu : int, None or "all"
        Number of a GPU that will be used, none, or all of them. Memory of GPUs is taken as needed.

    Returns
    -------
    module
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" in sys.modules:
        import tensorflow as tf  # noqa: PLC0415
    else:
        with _told_only_if_it_fails():  # some lines come whatever the variable says
            import tensorflow as tf  # noqa: PLC0415

            tf.config.list_physical_devices()  # says that there is no GPU
    with contextlib.suppress(RuntimeError):  # it has begun to work already
        if threads is not None:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        if gpu is None:
            tf.config.set_visible_devices([], "GPU")
        for device in tf.config.get_visible_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    return tf


@contextlib.contextmanager
def _told_only_if_it_fails() -> Iterator[None]:
    """Hold back what native code writes to the standard error, unless the block fails."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
