"""TensorFlow settings of a process, which must come before TensorFlow is loaded or at work."""

from __future__ import annotations

import logging
import os


def enable_onednn() -> None:
    """Has TensorFlow use oneDNN, unless TF_ENABLE_ONEDNN_OPTS says otherwise already.

    By default it does on some x86 processors only; the face detector runs 2.4 times as fast with
    it. Read when TensorFlow is loaded, which must come later: so the package does this itself, as
    it is imported, in workers too.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def compute_reproducibly() -> None:
    """Makes faces the same to the last bit on a machine with any number of cores.

    TensorFlow and oneDNN divide an operation among their threads, and where the parts end decides
    which instructions add up a number. So here an operation has one thread. That can be set only
    before TensorFlow's first operation in the process; later it is logged as a warning.
    """
    import cv2  # both here: the package imports this module whenever any of it is
    import tensorflow as tf

    cv2.setNumThreads(1)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
    except RuntimeError:
        if tf.config.threading.get_intra_op_parallelism_threads() != 1:
            logging.getLogger(__name__).warning(
                "TensorFlow is at work in this process already, with several threads for an "
                "operation: crops may differ in their last bits from those of a process of its own."
            )
