"""TensorFlow is loaded late, without noise, and missed in one sentence."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from minia_spark.base.errors import SettingsError
from minia_spark.base.networks import require_tensorflow

HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None


def test_where_it_is_missing_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    with pytest.raises(
        SettingsError, match=r"^this needs TensorFlow, which is not installed: pip "
    ):
        require_tensorflow("this")


@pytest.mark.skipif(not HAS_TENSORFLOW, reason="the extra 'networks' is not installed")
def test_it_starts_without_a_word_and_with_the_threads_that_it_gets():
    program = (
        "from minia_spark.base.networks import load_tensorflow, require_tensorflow\n"
        "require_tensorflow('this')\n"
        "import sys; assert 'tensorflow' not in sys.modules\n"
        "tf = load_tensorflow(threads=1, gpu=None)\n"
        "print(int(tf.constant(1) + 1), tf.config.threading.get_intra_op_parallelism_threads())\n"
        "assert load_tensorflow(threads=3) is tf  # too late, and no error\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("2 1\n", "", 0)


@pytest.mark.skipif(not HAS_TENSORFLOW, reason="the extra 'networks' is not installed")
def test_what_it_says_is_told_where_it_fails(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os; os.write(2, b'no such instruction\\n'); raise ImportError('broken')\n"
    )
    program = "from minia_spark.base.networks import load_tensorflow; load_tensorflow()"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {program}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no such instruction" in done.stderr
    assert "ImportError: broken" in done.stderr
