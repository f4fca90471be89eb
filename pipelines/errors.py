"""The errors that people are to read: each says where, what was found, and what to do."""


class DfdetectError(Exception):
    """Work that cannot be done, said so that it can be mended; a command prints it alone."""


class JobError(DfdetectError):
    """A Beam job that cannot be done."""
