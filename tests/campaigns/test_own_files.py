"""The campaigns of the files that experiments read come to their inside, and find what breaks."""

import pytest
from campaigns.campaign import tries_of
from campaigns.npz_data import NPZ_DATA
from campaigns.records import RECORDS
from campaigns.run_folders import RUN_FOLDERS
from campaigns.settings_files import SETTINGS_FILES

from funcnn.experiments.data.formats import npz_files
from funcnn.experiments.tasks import model_records
from funcnn.experiments.tasks.settings import Number
from funcnn.experiments.training import run_folder

WORDS = {
    RUN_FOLDERS: {
        f"{what} {end}"
        for what in ("resume", "extend", "evaluate", "predict", "inspect", "compare")
        for end in ("done", "refused")
    },
    NPZ_DATA: {"refused", "predicted", "learnt"},
    SETTINGS_FILES: {"refused", "read, and built"},
    RECORDS: {
        f"{what} {end}"
        for what in ("network", "data", "lockstep", "comparison", "experiment", "sweep")
        for end in ("done", "refused")
    },
}
PLANTED = {  # what is left out
    RUN_FOLDERS: (run_folder, "expect_kinds", lambda *given: None),
    NPZ_DATA: (npz_files, "check_images", lambda images, where: images),
    SETTINGS_FILES: (Number, "wrong", lambda kind, value: None),
    RECORDS: (model_records, "expect_kinds", lambda *given: None),
}
TRIES = 200
each = pytest.mark.parametrize("campaign", WORDS, ids=lambda campaign: campaign.name)


@each
def test_what_is_damaged_is_read_or_refused(campaign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [*tries_of(campaign, tmp_path, 0, range(TRIES))]
    assert [each for each in found if each[1] is None] == []
    assert {word for _, word, _ in found} >= WORDS[campaign]


@each
def test_a_check_that_is_left_out_is_found(campaign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(*PLANTED[campaign])
    assert any(why is not None for _, _, why in tries_of(campaign, tmp_path, 0, range(TRIES)))
