"""The command: which campaigns are carried out, and the table of what came of them."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import click
from campaigns.all_campaigns import CAMPAIGNS
from campaigns.campaign import Broken, Outcome, carry_out

from funcnn.experiments.bench.peers import PACKAGES
from funcnn.experiments.reports.text_table import text_table
from funcnn.experiments.system.machine import describe_machine, in_one_line


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=1)
@click.option("--seed", type=click.IntRange(min=0), default=0)
@click.option("--only", type=click.Choice([c.name for c in CAMPAIGNS]), multiple=True)
@click.option("--tries", metavar="FIRST:END", help="These tries, however long they take.")
@click.option("--processes", type=click.IntRange(min=1), default=len(os.sched_getaffinity(0)))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Results as JSON.")
def campaigns(
    minutes: float,
    seed: int,
    only: Sequence[str],
    tries: str | None,
    processes: int,
    out: Path | None,
) -> None:
    """Carry out campaigns, and print a table of what was tried and what broke."""
    chosen = [c for c in CAMPAIGNS if c.name in (only or {c.name for c in CAMPAIGNS})]
    chosen_tries = range(*map(int, tries.split(":"))) if tries else None
    total = sum(campaign.share for campaign in chosen)
    outcomes = []
    for campaign in chosen:
        seconds = 60 * minutes * campaign.share / total
        outcome = carry_out(campaign, seed, seconds, processes, chosen_tries)
        outcomes.append(outcome)
        click.echo(in_words(outcome))
        one_by_one = {why: [number] for number, why in outcome.broken}
        found = one_by_one if campaign.may_break else alike(outcome.broken)
        for why, numbers in found.items():
            click.echo(f"  {len(numbers)} broke, try {numbers[0]} first: {why}")
    click.echo("\n" + table(outcomes))
    if out is not None:
        machine = in_one_line(describe_machine(PACKAGES))
        what = {"seed": seed, "minutes": minutes, "machine": machine, "system": platform.system()}
        rows = [outcome._asdict() for outcome in outcomes]
        out.write_text(json.dumps({**what, "campaigns": rows}, indent=1) + "\n")
    raise SystemExit(not all(outcome.holds for outcome in outcomes))


def alike(broken: Sequence[Broken]) -> dict[str, list[int]]:
    """The numbers of tries that broke in one place, by what the first of them says."""
    said: dict[str, str] = {}
    found: dict[str, list[int]] = {}
    for number, why in broken:
        where = why.rpartition(" (")[2]
        found.setdefault(said.setdefault(where, why), []).append(number)
    return found


def in_words(outcome: Outcome) -> str:
    """A line of what came of a campaign."""
    ended = ", ".join(f"{count:,} {word}" for word, count in outcome.ended.items())
    return f"{outcome.campaign}, {outcome.seconds:.0f} s: {ended or 'nothing'}"


def table(outcomes: Sequence[Outcome]) -> str:
    """A table in Markdown of what was tried, and what broke."""
    rows = [("campaign", "what was tried", "tries", "broke")]
    for outcome in outcomes:
        broke = str(len(outcome.broken))
        if outcome.may_break:
            broke += f" (at most {outcome.may_break:.0%} may)"
        rows.append((outcome.campaign, outcome.what, f"{outcome.tries:,}", broke))
    return text_table(rows, left=2, form="github")
