"""Errors for people: each says where, what was wrong and what to do."""


class DfdetectError(Exception):
    """Work that cannot be done, said so that it can be mended; a command prints it alone."""


class JobError(DfdetectError):
    """A Beam job that cannot be done."""
