"""All campaigns, in the order in which they are carried out."""

from campaigns.campaign import Campaign
from campaigns.mutants import MUTANTS
from campaigns.snapshots import SNAPSHOTS

CAMPAIGNS: list[Campaign] = [SNAPSHOTS, MUTANTS]
