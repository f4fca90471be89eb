"""Makes the packages of this environment smaller by what no program loads, about 0.6 GB.

TensorFlow's C++ headers (287 MB), which only building an operation of one's own needs; the symbol
tables of its libraries (245 MB), which only debuggers read, where `strip` (binutils) is there; the
test suites that packages ship (40 MB). Stripped libraries stay only if TensorFlow works with them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

TESTED = ("matplotlib", "networkx", "numpy", "pyarrow", "scipy", "skimage", "sklearn")
LARGE = 10_000_000  # bytes; smaller libraries hold little that could go
WORKS = "import tensorflow as tf; assert tf.linalg.matmul([[2.0]], [[3.0]]).numpy() == 6"


def strip(libraries: list[Path]) -> None:
    """Removes the symbol tables of libraries, or leaves them all as they were."""
    whole = {library: library.with_name(f"{library.name}.whole") for library in libraries}
    try:
        for library, kept in whole.items():
            os.rename(library, kept)
            if subprocess.run(["strip", "--strip-all", "-o", library, kept]).returncode != 0:
                raise ChildProcessError(f"strip failed at {library}")
        subprocess.run([sys.executable, "-B", "-c", WORKS], check=True, capture_output=True)
    except (ChildProcessError, subprocess.CalledProcessError) as error:
        print(f"trim: left TensorFlow's libraries as they were: {error}", file=sys.stderr)
        for library, kept in whole.items():
            if kept.exists():
                os.replace(kept, library)
    finally:
        for kept in whole.values():
            kept.unlink(missing_ok=True)


def main() -> None:
    packages = Path(sysconfig.get_path("purelib"))
    for name in TESTED:
        for tests in sorted(packages.joinpath(name).rglob("tests")):
            shutil.rmtree(tests)
    tensorflow = packages / "tensorflow"
    headers = tensorflow / "include"
    if not headers.is_dir():  # an earlier run was here
        return
    if sys.platform == "linux" and shutil.which("strip"):
        strip([file for file in tensorflow.rglob("*.so*") if file.stat().st_size > LARGE])
    shutil.rmtree(headers)


if __name__ == "__main__":
    main()
