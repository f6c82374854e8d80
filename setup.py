"""Three folders of the tree are one package: `funcnn`, with `funcnn.cli` and `funcnn.experiments`.

Setuptools cannot put a prefix before the packages that it finds by itself; all else is in
`pyproject.toml`, but for the one file in C, which is left out where nothing can compile it.
"""

import os

import numpy as np
from setuptools import Extension, find_packages, setup
from setuptools.command import editable_wheel

FOLDERS = {"funcnn": "funcnn", "funcnn.cli": "cli", "funcnn.experiments": "experiments"}

# After `pip install -e` Python asks setuptools' finder last: for a script beside a folder `funcnn`,
# such as a clone, `import funcnn` would give that folder, as an empty package. Now it asks first.
# (The strict mode of setuptools would do too, but it misses every module that comes with a pull.)
if hasattr(editable_wheel, "_FINDER_TEMPLATE"):
    editable_wheel._FINDER_TEMPLATE = editable_wheel._FINDER_TEMPLATE.replace(
        "sys.meta_path.append(", "sys.meta_path.insert(0, "
    )

native = Extension(
    "funcnn.compiled._native",
    ["funcnn/compiled/_native.c"],
    include_dirs=[np.get_include()],
    libraries=["m"],
    extra_link_args=["-pthread"],
    optional=True,
)

setup(
    ext_modules=[native] if os.name == "posix" else [],  # it has POSIX's threads
    package_dir=FOLDERS,
    packages=[
        *FOLDERS,
        *(f"{package}.{room}" for package in FOLDERS for room in find_packages(FOLDERS[package])),
    ],
)
