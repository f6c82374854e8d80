"""`funcnn grade`: a student's archive held against the lab's sheet."""

from pathlib import Path

import click

from funcnn.cli.options import echo, json_option, print_json
from funcnn.experiments.errors import printable

_VERDICTS = {True: "holds", False: "does not hold", None: "not decided"}
_WIDEST = 160


@click.command()
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--lab", required=True, metavar="NAME", help="Whose sheet: see experiment list.")
@click.option(
    "--data",
    help="A set whose test labels the predictions are scored by, as of funcnn train. "
    "[default: Fashion-MNIST for its labs, where it is on this machine]",
)
@click.option(
    "--run-code",
    is_flag=True,
    help="Also run the sheet's loop on it, in a sandbox without network and home folder (Linux: "
    "bubblewrap, or namespaces), for two minutes at most.",
)
@click.option(
    "--without-sandbox",
    is_flag=True,
    help="With --run-code: run it as you, with all that you may do. Only what you trust.",
)
@json_option
def grade(
    archive: Path,
    lab: str,
    data: str | None,
    run_code: bool,
    without_sandbox: bool,
    as_json: bool,
) -> None:
    """Hold a student's archive, or folder, against a lab's sheet: each rule, and what was found.

    Nothing of it is run or imported, unless --run-code says so: Python is parsed, weights are read
    as tensors, notebooks as they were saved. Exit 1 if it cannot be read at all.

    \b
    Examples:
      funcnn grade 0716001_HW1.zip --lab fashion-mlp
      funcnn grade unpacked/0716001 --lab fashion --run-code
    """
    from funcnn.experiments.grade.grading import grade
    from funcnn.experiments.grade.sandbox import find_sandbox
    from funcnn.experiments.reports.text_table import text_table

    if without_sandbox and not run_code:
        raise click.UsageError("--without-sandbox goes with --run-code")
    sandbox = find_sandbox(without_sandbox) if run_code else None
    if sandbox is not None:
        echo(f"--run-code: {sandbox.words}", err=True)
    grading = grade(archive, lab, data, sandbox=sandbox)
    if as_json:
        print_json(grading.as_data())
        return
    rows = [("", "of", "the sheet says", "found")]
    for verdict in grading.verdicts:
        texts = (verdict.of, verdict.sheet, verdict.found)
        of, sheet, found = (printable(text, _WIDEST) for text in texts)
        rows.append((_VERDICTS[verdict.holds], of, sheet, found))
    click.echo(text_table(rows, left=4))
    counts = [sum(v.holds is kind for v in grading.verdicts) for kind in (True, False, None)]
    click.echo()
    echo(
        f"{len(grading.verdicts)} rules: {counts[0]} hold, {counts[1]} do not, "
        f"{counts[2]} are not decided"
    )
