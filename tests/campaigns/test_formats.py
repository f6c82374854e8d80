"""The campaigns of other people's formats reach the inside, and find a fault that is planted."""

import importlib

import pytest
from campaigns.campaign import tries_of
from campaigns.csv_tables import CSV_COPIES, CSV_TABLES
from campaigns.data_folders import DATA_FOLDERS
from campaigns.hand_ins_graded import HAND_INS
from campaigns.idx_files import IDX_FILES
from campaigns.onnx_files import ONNX_FILES
from campaigns.picture_files import PICTURE_FILES
from campaigns.safetensors_files import SAFETENSORS_FILES
from campaigns.torch_files import TORCH_FILES

EXPERIMENTS = "funcnn.experiments"
READERS = {
    IDX_FILES: "data.formats.idx",
    CSV_TABLES: "data.formats.csv_files",
    PICTURE_FILES: "data.formats.image_files",
    DATA_FOLDERS: "data.formats.zip_files",
    TORCH_FILES: "pytorch.files",
    SAFETENSORS_FILES: "export.safetensors_files",
    ONNX_FILES: "export.onnx_files",
    HAND_INS: "grade.hand_in",
}


@pytest.mark.parametrize("campaign", [*READERS, CSV_COPIES], ids=lambda one: one.name)
def test_what_is_damaged_is_read_or_refused(campaign, tmp_path):
    found = [*tries_of(campaign, tmp_path, 0, range(60))]
    assert [why for _, _, why in found if why is not None] == []
    words = {part for _, word, _ in found for part in (word or "").split()}
    assert words >= {"refused", "graded" if campaign is HAND_INS else "read"}


@pytest.mark.parametrize("campaign", READERS, ids=lambda one: one.name)
def test_an_error_of_another_kind_is_found(campaign, tmp_path, monkeypatch):
    """Planted: what is wrong with a file is not said by the one error."""
    reader = importlib.import_module(f"{EXPERIMENTS}.{READERS[campaign]}")
    monkeypatch.setattr(reader, "InputError", LookupError)
    if hasattr(reader, "NoIdxError"):
        monkeypatch.setattr(reader, "NoIdxError", LookupError)
    assert any(why is not None for _, _, why in tries_of(campaign, tmp_path, 0, range(60)))


def test_a_copy_that_is_trusted_too_much_is_found(tmp_path, monkeypatch):
    """Planted: whatever the seal covers is taken for a table."""
    copies = importlib.import_module(f"{EXPERIMENTS}.data.formats.csv_copies")
    table_of = copies._table_of

    def trusting(held):
        try:
            return table_of(held)
        except ValueError as error:
            raise LookupError(str(error)) from None

    monkeypatch.setattr(copies, "_table_of", trusting)
    assert any(why is not None for _, _, why in tries_of(CSV_COPIES, tmp_path, 0, range(60)))
