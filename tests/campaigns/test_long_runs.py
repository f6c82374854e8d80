"""The campaign of long runs finds leaks that are planted; here of fewer epochs."""

import pytest
from campaigns.long_runs import EPOCHS, assert_flat, in_a_process

LEAKS = {
    "objects": "kept = []; import funcnn as fn; key = fn.random.key; "
    "fn.random.key = lambda seed: kept.append([seed]) or key(seed)",
    "files": "kept = []; import funcnn as fn; save = fn.save; "
    "fn.save = lambda *args: kept.append(open('/dev/null')) or save(*args)",
    "threads": "import threading, time; import funcnn as fn; save = fn.save; fn.save = lambda "
    "*args: threading.Thread(target=time.sleep, args=(99,), daemon=True).start() or save(*args)",
    "KB": "kept = bytearray(); import funcnn as fn; key = fn.random.key; "
    "fn.random.key = lambda seed: kept.extend(bytes([1]) * 10_000) or key(seed)",
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_is_found(tmp_path, leak):
    found = in_a_process(tmp_path, 1, "plain", EPOCHS // 5, LEAKS[leak])
    with pytest.raises(AssertionError, match=leak):
        assert_flat(found)


def test_a_run_without_one_is_flat(tmp_path):
    assert_flat(in_a_process(tmp_path, 1, "native", EPOCHS // 5))
