"""Errors of training, checkpoints and exports."""

from pipelines.errors import DfdetectError


class TrainError(DfdetectError):
    """Training that cannot begin or resume here, or that gave nothing usable."""


class CheckpointError(TrainError):
    """A checkpoint that does not fit, or a state that must not become one."""


class ExportError(DfdetectError):
    """A run that cannot be exported, or an export that is not what was trained."""
