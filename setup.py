"""What Dataflow workers install from (`--setup_file=./setup.py`); all facts: pyproject.toml."""

from setuptools import setup

setup()
