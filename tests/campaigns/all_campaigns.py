"""All campaigns, in the order in which they are carried out."""

from campaigns.campaign import Campaign
from campaigns.csv_tables import CSV_COPIES, CSV_TABLES
from campaigns.data_folders import DATA_FOLDERS
from campaigns.hand_ins_graded import HAND_INS
from campaigns.idx_files import IDX_FILES
from campaigns.onnx_files import ONNX_FILES
from campaigns.picture_files import PICTURE_FILES
from campaigns.safetensors_files import SAFETENSORS_FILES
from campaigns.snapshots import SNAPSHOTS
from campaigns.torch_files import TORCH_FILES

CAMPAIGNS: list[Campaign] = [
    SNAPSHOTS,
    IDX_FILES,
    CSV_TABLES,
    CSV_COPIES,
    PICTURE_FILES,
    DATA_FOLDERS,
    TORCH_FILES,
    SAFETENSORS_FILES,
    ONNX_FILES,
    HAND_INS,
]
