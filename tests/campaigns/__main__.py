"""Campaigns: what is drawn by a seed and tried for as long as there is time, and what broke.

python tests/campaigns                      a minute of all of them
python tests/campaigns --minutes 60 --seed 7 --out docs/campaigns.json
python tests/campaigns --only snapshots --seed 7 --tries 41:42      that try again
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    importlib.import_module("campaigns.command").campaigns()
