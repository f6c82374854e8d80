"""All campaigns, in the order in which they are carried out."""

from campaigns.campaign import Campaign
from campaigns.run_folders import RUN_FOLDERS
from campaigns.snapshots import SNAPSHOTS

CAMPAIGNS: list[Campaign] = [SNAPSHOTS, RUN_FOLDERS]
