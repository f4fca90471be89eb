"""What can stop a training, said so that it can be mended."""


class TrainError(Exception):
    """Training that cannot begin or go on here, or that gave nothing usable."""


class CheckpointError(TrainError):
    """A checkpoint that does not fit, or a state that must not become one."""


class ExportError(Exception):
    """A run that cannot be exported, or an export that is not what was trained."""
