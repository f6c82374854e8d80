"""Three folders of the tree are one package: `funcnn`, with `funcnn.cli` and `funcnn.experiments`.

Setuptools cannot put a prefix before the packages that it finds by itself; all else is in
`pyproject.toml`.
"""

from setuptools import find_packages, setup
from setuptools.command import editable_wheel

FOLDERS = {"funcnn": "funcnn", "funcnn.cli": "cli", "funcnn.experiments": "experiments"}

# After `pip install -e` Python asks setuptools' finder last: for a script beside a folder `funcnn`,
# such as a clone, `import funcnn` would give that folder, as an empty package. Now it asks first.
# (The strict mode of setuptools would do too, but it misses every module that comes with a pull.)
if hasattr(editable_wheel, "_FINDER_TEMPLATE"):
    editable_wheel._FINDER_TEMPLATE = editable_wheel._FINDER_TEMPLATE.replace(
        "sys.meta_path.append(", "sys.meta_path.insert(0, "
    )

setup(
    package_dir=FOLDERS,
    packages=[
        *FOLDERS,
        *(f"{package}.{room}" for package in FOLDERS for room in find_packages(FOLDERS[package])),
    ],
)
