"""Three folders of the tree are one package: `funcnn`, with `funcnn.cli` and `funcnn.experiments`.

Setuptools cannot put a prefix before the packages that it finds by itself; all else is in
`pyproject.toml`.
"""

from setuptools import find_packages, setup

FOLDERS = {"funcnn": "funcnn", "funcnn.cli": "cli", "funcnn.experiments": "experiments"}

setup(
    package_dir=FOLDERS,
    packages=[
        *FOLDERS,
        *(f"{package}.{room}" for package in FOLDERS for room in find_packages(FOLDERS[package])),
    ],
)
