"""All campaigns, in the order in which they are carried out."""

from campaigns.bits import BITS
from campaigns.campaign import Campaign
from campaigns.long_runs import LONG_RUNS
from campaigns.models import MODELS
from campaigns.snapshots import SNAPSHOTS

CAMPAIGNS: list[Campaign] = [SNAPSHOTS, MODELS, BITS, LONG_RUNS]
