"""All campaigns, in the order in which they are carried out."""

from campaigns.bits import BITS
from campaigns.campaign import Campaign
from campaigns.csv_tables import CSV_COPIES, CSV_TABLES
from campaigns.data_folders import DATA_FOLDERS
from campaigns.faults import FAULTS
from campaigns.hand_ins_graded import HAND_INS
from campaigns.idx_files import IDX_FILES
from campaigns.kills import KILLS
from campaigns.long_runs import LONG_RUNS
from campaigns.models import MODELS
from campaigns.mutants import MUTANTS
from campaigns.npz_data import NPZ_DATA
from campaigns.onnx_files import ONNX_FILES
from campaigns.picture_files import PICTURE_FILES
from campaigns.records import RECORDS
from campaigns.run_folders import RUN_FOLDERS
from campaigns.safetensors_files import SAFETENSORS_FILES
from campaigns.settings_files import SETTINGS_FILES
from campaigns.snapshots import SNAPSHOTS
from campaigns.torch_files import TORCH_FILES

CAMPAIGNS: list[Campaign] = [
    SNAPSHOTS,
    RUN_FOLDERS,
    NPZ_DATA,
    SETTINGS_FILES,
    RECORDS,
    IDX_FILES,
    CSV_TABLES,
    CSV_COPIES,
    PICTURE_FILES,
    DATA_FOLDERS,
    TORCH_FILES,
    SAFETENSORS_FILES,
    ONNX_FILES,
    HAND_INS,
    MODELS,
    BITS,
    LONG_RUNS,
    FAULTS,
    *KILLS,
    MUTANTS,
]
