"""All campaigns, in the order in which they are carried out."""

from campaigns.campaign import Campaign
from campaigns.kills import KILLS
from campaigns.snapshots import SNAPSHOTS

CAMPAIGNS: list[Campaign] = [SNAPSHOTS, *KILLS]
