"""`funcnn experiment submit` and `notebook`: what a student hands in, or begins with."""

import sys
from pathlib import Path

import click

from funcnn.cli.new_place import new_place
from funcnn.cli.options import echo, echo_path, json_option, print_json


@click.command()
@click.argument("name")
@click.option("--student-id", required=True, help="The student's.")
@click.option(
    "--name",
    "student",
    help="The student's, for the report, the notebooks, and files that have it in their names. "
    "[default: none]",
)
@click.option(
    "--experiment",
    "folder",
    type=click.Path(path_type=Path),
    help="The experiment's folder. [default: runs/NAME]",
)
@click.option(
    "--snapshot",
    "snapshots",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A params.npz to hand in where there is no experiment; a lab that wants a report takes it "
    "as a draft. Twice for mnist: NN, CNN; and for points: xor, linear. [default: none]",
)
@click.option(
    "--draft",
    is_flag=True,
    help="Write what can be made, whatever holds, and say what does not.",
)
@click.option(
    "--out", type=new_place, help="A new folder. [default: hand-in/NAME-ID, or NAME-ID-draft]"
)
@json_option
def submit(
    name: str,
    student_id: str,
    student: str | None,
    folder: Path | None,
    snapshots: tuple[Path, ...],
    draft: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Build what a lab wants handed in, from a finished experiment or from snapshots alone.

    Its notebooks run for it, and train what is handed in, for some minutes. The files are checked
    by the lab's rules; if one does not hold, nothing is written, unless it is a draft.

    \b
    Examples:
      funcnn experiment submit fashion --student-id 0716001
      funcnn experiment submit points --student-id 0716001 --name 王小明
      funcnn experiment submit fashion-mlp --student-id 0716001 --snapshot params.npz
      funcnn experiment submit fashion --student-id 0716001 --snapshot params.npz --draft
    """
    from funcnn.experiments.hand_in.submit import submit
    from funcnn.experiments.labs.registry import find_lab

    try:
        submitted = submit(
            find_lab(name),
            student_id,
            student,
            experiment=folder,
            snapshots=snapshots,
            out=out,
            draft=draft,
            told=lambda step: echo(step, err=True),
        )
    except KeyboardInterrupt:
        click.echo("stopped; nothing was written", err=True)
        sys.exit(130)
    if as_json:
        print_json(submitted)
        return
    for rule in submitted["rules"]:
        echo(f"holds: {rule}")
    for rule in submitted["broken"]:
        echo(f"does not hold: {rule}")
    for file in submitted["files"]:
        echo_path(Path(submitted["out"]) / file)
    if student is None:
        click.echo("no name stands on these files, beside the id: --name NAME")
    for file in submitted["kaggle"]:
        click.echo(
            f"{Path(file).name} goes to Kaggle, where the team's name must be {student_id}: "
            "to forget it costs a good part of the lab"
        )


@click.command()
@click.argument("name")
@click.option("--out", type=new_place, help="A new folder. [default: runs/NAME-notebook-001]")
def notebook(name: str, out: Path | None) -> None:
    """Write a lab's notebooks, and the modules that they stand on, before anything is trained.

    \b
    Example:
      funcnn experiment notebook fashion
    """
    from funcnn.experiments.hand_in.submit import write_notebooks
    from funcnn.experiments.labs.registry import find_lab

    for path in write_notebooks(find_lab(name), out):
        echo_path(path)
