"""What other systems lack or have otherwise: an output's code page that cannot hold a name."""

import os
import subprocess
import sys

import pytest
from PIL import Image


@pytest.mark.parametrize(
    ("code_page", "printed"),
    [("cp1252", rb"  \u732b"), ("cp950", "  猫".encode("cp950", "backslashreplace"))],
)
def test_names_that_a_code_page_lacks_are_printed_as_escapes(tmp_path, code_page, printed):
    for shade, name in enumerate(("a", "猫")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(10):
            picture = Image.new("L", (4, 4), 100 * shade + index)
            picture.save(tmp_path / "pictures" / name / f"{index}.png")
    command = [sys.executable, "-P", "-c", "from funcnn.cli import main; main()"]
    done = subprocess.run(
        [*command, "data", "show", "pictures", "--out", "shown.png"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": f"{code_page}:strict", "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
