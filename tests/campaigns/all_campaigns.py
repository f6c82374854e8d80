"""All campaigns, in the order in which they are carried out."""

from campaigns.campaign import Campaign
from campaigns.models import MODELS
from campaigns.snapshots import SNAPSHOTS

CAMPAIGNS: list[Campaign] = [SNAPSHOTS, MODELS]
