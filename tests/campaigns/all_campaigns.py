"""All campaigns, in the order in which they are carried out."""

from campaigns.campaign import Campaign
from campaigns.faults import FAULTS
from campaigns.kills import KILLS
from campaigns.npz_data import NPZ_DATA
from campaigns.records import RECORDS
from campaigns.run_folders import RUN_FOLDERS
from campaigns.settings_files import SETTINGS_FILES
from campaigns.snapshots import SNAPSHOTS

CAMPAIGNS: list[Campaign] = [
    SNAPSHOTS,
    RUN_FOLDERS,
    NPZ_DATA,
    SETTINGS_FILES,
    RECORDS,
    FAULTS,
    *KILLS,
]
