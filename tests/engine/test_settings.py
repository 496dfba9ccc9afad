"""Settings: where values come from, and what the user is told about wrong ones."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from minia_spark.base.errors import SettingsError
from minia_spark.base.settings import StageSettings
from minia_spark.engine.settings import changes, commented_yaml, remembered
from minia_spark.rooms import HOUSE

ROOT = Path(__file__).resolve().parents[2]


def written(folder: Path, text: str) -> Path:
    file = folder / "settings.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_settings_of_an_earlier_run():
    earlier = HOUSE.load_settings(None, ["mining.tables=7", "words.weight=size"]).model_dump(
        mode="json"
    )
    found = HOUSE.load_settings(None, ["words.weight=frequency"], defaults=earlier)
    assert (found.mining.tables, found.words.weight) == (7, "frequency")
    assert earlier["words"]["weight"] == "size"


class TestWhatAWarehouseRemembers:
    def test_not_what_belongs_to_the_machine_or_the_call(self):
        given = ["spark.partitions=7", "mining.engine=datasketch", "ingest.labels.file=l.csv"]
        told = remembered(HOUSE.load_settings(None, [*given, "mining.tables=5"]))
        assert "spark" not in told
        assert "log" not in told
        assert "engine" not in told["mining"]
        assert "file" not in told["ingest"]["labels"]
        assert told["mining"]["tables"] == 5

    def test_changes_by_hand(self):
        older = {"a": {"b": 1, "c": "x", "gone": 1}, "same": 2}
        newer = {"a": {"b": 2, "c": "y", "new": 1}, "same": 2}
        assert changes(older, newer) == ["a.b 1 -> 2", "a.c x -> y"]
        assert changes({"a.b": None}, {"a.b": [1]}) == ["a.b null -> [1]"]


class TestWhereValuesComeFrom:
    def test_defaults(self):
        assert HOUSE.load_settings() == HOUSE.settings_model()

    def test_a_file_and_then_what_is_set_from_left_to_right(self, tmp_path):
        file = written(tmp_path, "codebook: {size: 10, sample_size: 50}\nmining: {tables: 7}\n")
        found = HOUSE.load_settings(file, ["codebook.size=20", "codebook.size=30"])
        assert (found.codebook.size, found.codebook.sample_size) == (30, 50)
        assert found.mining.tables == 7
        assert found.words == HOUSE.settings_model().words

    def test_an_empty_file(self, tmp_path):
        assert HOUSE.load_settings(written(tmp_path, "# nothing\n")) == HOUSE.settings_model()


class TestSet:
    @pytest.mark.parametrize(
        ("override", "section", "key", "value"),
        [
            ("mining.tables=3", "mining", "tables", 3),
            ("mining.expand=true", "mining", "expand", True),
            ("mining.binary=null", "mining", "binary", None),
            ("mining.binary=", "mining", "binary", None),
            ("mining.overlap=1e-3", "mining", "overlap", 0.001),
            ("report.title=a: b", None, None, None),
            ("report.title='a = b: c'", "report", "title", "a = b: c"),
            (" mining.tables = 3", "mining", "tables", 3),
            ("spark.partitions=17", "spark", "partitions", 17),
            ("spark.master=local[2]", "spark", "master", "local[2]"),
            ("words={weight: size, drop_outliers: true}", "words", "weight", "size"),
        ],
    )
    def test_values_are_yaml(self, override, section, key, value):
        if section is None:  # YAML reads this one as a mapping
            with pytest.raises(SettingsError, match=r"report\.title: .* valid string"):
                HOUSE.load_settings(None, [override])
        else:
            assert getattr(getattr(HOUSE.load_settings(None, [override]), section), key) == value

    def test_nested_sections(self):
        found = HOUSE.load_settings(None, ["features.sift.sigma=2", "ingest.labels.file=a.csv"])
        assert found.features.sift.sigma == 2
        assert found.ingest.labels.file == "a.csv"

    def test_keys_of_spark_keep_their_dots_and_values_stay_text(self):
        found = HOUSE.load_settings(
            None,
            [
                "spark.conf.spark.executor.memory=8g",
                "spark.conf.spark.executor.cores=4",
                "spark.conf.spark.x=a=b",
            ],
        )
        assert found.spark.conf == {
            "spark.executor.memory": "8g",
            "spark.executor.cores": "4",
            "spark.x": "a=b",
        }

    @pytest.mark.parametrize("override", ["mining.tables", "=3", "mining..tables=3", ".x=1", ""])
    def test_no_assignment(self, override):
        with pytest.raises(SettingsError, match=r"--set '.*': expected section\.key=value"):
            HOUSE.load_settings(None, [override])

    def test_no_section(self):
        with pytest.raises(SettingsError, match=r"--set 'a\.b\.c=1': a\.b is no section"):
            HOUSE.load_settings(None, ["a.b=1", "a.b.c=1"])

    @pytest.mark.parametrize("value", ["[1", "{", "!!python/object/apply:os.getcwd []", "a: b: c"])
    def test_no_yaml(self, value):
        with pytest.raises(SettingsError, match=r"--set 'mining\.tables=.*it is not valid YAML"):
            HOUSE.load_settings(None, [f"mining.tables={value}"])


def _numbers(kind: type, section: StageSettings | None = None, prefix: str = "") -> Iterator[str]:
    """Yield the settings that take a number of this kind."""
    section = HOUSE.settings_model() if section is None else section
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, StageSettings):
            yield from _numbers(kind, value, f"{prefix}{name}.")
        elif not isinstance(value, dict) and re.search(
            rf"\b{kind.__name__}\b", str(field.annotation).replace("<class", "")
        ):
            yield prefix + name


class TestWhatIsWrong:
    def test_an_unknown_key_and_the_nearest_known_one(self):
        with pytest.raises(SettingsError, match=r"codebok: unknown.*did you mean codebook\?"):
            HOUSE.load_settings(None, ["codebok.size=3"])
        wanted = r"features\.sift\.sigmma: unknown setting; did you mean features\.sift\.sigma\?"
        with pytest.raises(SettingsError, match=wanted):
            HOUSE.load_settings(None, ["features.sift.sigmma=3"])
        with pytest.raises(SettingsError, match=r"mining\.qqqqqq: unknown setting\n"):
            HOUSE.load_settings(None, ["mining.qqqqqq=3"])

    def test_all_wrong_values_are_in_one_message(self):
        with pytest.raises(SettingsError) as caught:
            HOUSE.load_settings(
                None, ["mining.tables=0", "mining.overlap=high", "codebook.sise=3", "words=3"]
            )
        lines = str(caught.value).splitlines()
        assert lines[0] == "wrong settings:"
        assert lines[-1] == "'minia settings' prints every setting"
        told = {line.split(":")[0].strip(): line for line in lines[1:-1]}
        assert set(told) == {"mining.tables", "mining.overlap", "codebook.sise", "words"}
        assert "greater than or equal to 1 (given: 0)" in told["mining.tables"]
        assert "(given: 'high')" in told["mining.overlap"]
        assert "did you mean codebook.size?" in told["codebook.sise"]

    def test_values_that_contradict_each_other(self):
        with pytest.raises(SettingsError, match="sample_size 12000 is smaller than size 30000"):
            HOUSE.load_settings(None, ["codebook.size=30000"])

    @pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
    @pytest.mark.parametrize("key", sorted(_numbers(float)))
    def test_no_number_is_endless(self, key, value):
        """The ledger, which is JSON, has no such numbers."""
        section, _, name = key.rpartition(".")
        field = type(HOUSE.settings_model().get(section)).model_fields[name]
        several = "tuple" in str(field.annotation)
        given = f"[{value}]" if several else value
        with pytest.raises(SettingsError, match=rf"  {key}[^:]*: .*finite number"):
            HOUSE.load_settings(None, [f"{key}={given}"])

    @pytest.mark.parametrize("key", sorted(_numbers(int)))
    def test_whole_numbers_that_no_engine_could_hold(self, key):
        for value in (2**63, -(2**63), 2**32):
            with pytest.raises(SettingsError, match=rf"  {key}[:.].*(less|greater|least|most)"):
                HOUSE.load_settings(None, [f"{key}={value}"])

    def test_a_number_without_a_limit_of_its_own(self):
        for key in ("mining.min_set_size", "mining.min_cluster_size", "features.sift.nfeatures"):
            assert HOUSE.load_settings(None, [f"{key}={2**31 - 1}"]).get(key) == 2**31 - 1
            with pytest.raises(SettingsError, match=rf"  {key}: .*at most 2147483647 \(given: 214"):
                HOUSE.load_settings(None, [f"{key}={2**31}"])

    def test_long_values_are_cut(self):
        with pytest.raises(SettingsError) as caught:
            HOUSE.load_settings(None, [f"mining.tables={'x' * 5000}"])
        assert max(map(len, str(caught.value).splitlines())) < 250

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("mining: {tables: 3, tables: 4}", r"key 'tables' is given twice \(again in line 1\)"),
            ("mining:\n  tables: 3\nwords: {}\nmining: {}\n", r"key 'mining' .* in line 4"),
            ("? [a, b]\n: 1\n", "line 1: a key must be a name"),
            ("mining: [", "is not valid YAML"),
            ("a: !!python/object/apply:os.system [exit]", "is not valid YAML"),
            ("a: !!python/name:os.system", "is not valid YAML"),
            ("- 1\n- 2\n", "must hold sections such as 'features:'"),
            ("3", "must hold sections"),
            ("1: 2", r"wrong settings:\n  1: "),
        ],
    )
    def test_files(self, tmp_path, text, problem):
        with pytest.raises(SettingsError, match=problem):
            HOUSE.load_settings(written(tmp_path, text))

    def test_files_that_cannot_be_read(self, tmp_path):
        with pytest.raises(SettingsError, match=r"settings file .*none\.yaml cannot be read"):
            HOUSE.load_settings(tmp_path / "none.yaml")
        with pytest.raises(SettingsError, match="cannot be read"):
            HOUSE.load_settings(tmp_path)
        (tmp_path / "latin").write_bytes("title: Galaxía".encode("latin-1"))
        with pytest.raises(SettingsError, match=r"latin cannot be read: .*utf-8"):
            HOUSE.load_settings(tmp_path / "latin")

    def test_aliases_that_multiply_are_refused_at_once(self, tmp_path):
        """Nine lines that stand for 10**9 values: as text, and in messages, gigabytes."""
        rows = ["a0: &a0 {x: y}"]
        rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
        bomb = "spark:\n  conf:\n" + "".join(f"    {row}\n" for row in rows)
        started = time.process_time()
        with pytest.raises(SettingsError, match=r"line 4: .*aliases.* are not taken"):
            HOUSE.load_settings(written(tmp_path, bomb))
        one_line = "{a: &a [1,1], b: &b [*a,*a]}"
        with pytest.raises(SettingsError, match=r"--set 'spark.conf=.*aliases"):
            HOUSE.load_settings(None, [f"spark.conf={one_line}"])
        assert time.process_time() - started < 2

    def test_a_key_given_twice_in_what_is_set(self):
        with pytest.raises(SettingsError, match=r"--set 'words=.*key 'weight' is given twice"):
            HOUSE.load_settings(None, ["words={weight: size, weight: size}"])

    def test_brackets_without_end(self, tmp_path):
        with pytest.raises(SettingsError, match=r"is not valid YAML: .*nested"):
            HOUSE.load_settings(written(tmp_path, "a: " + "[" * 100_000))

    def test_settings_do_not_change(self):
        with pytest.raises(Exception, match="Instance is frozen"):
            HOUSE.load_settings().mining.tables = 3


class TestCommentedYaml:
    def test_reads_back_as_what_it_shows(self, tmp_path):
        assert (
            HOUSE.load_settings(written(tmp_path, commented_yaml(HOUSE.settings_model())))
            == HOUSE.settings_model()
        )
        changed = HOUSE.load_settings(
            None,
            [
                "report.title='ünusual: \"title\" #1'",
                "mining.overlap=1e-7",
                "spark.conf.spark.executor.memory=8g",
                "ingest.labels.file=/a b/c.csv",
            ],
        )
        assert HOUSE.load_settings(written(tmp_path, commented_yaml(changed))) == changed

    def test_every_setting_stands_below_its_sentence(self):
        lines = commented_yaml(HOUSE.settings_model()).splitlines()
        keys = [number for number, line in enumerate(lines) if line and line.lstrip()[0] != "#"]
        assert len(keys) > 60
        for number in keys:
            sentence = lines[number - 1].strip()
            assert sentence.startswith("# "), lines[number]
            assert sentence.rstrip("]").rstrip()[-1] not in "#", lines[number]
            assert len(sentence) > 15, lines[number]

    def test_names_limits_and_choices(self):
        text = commented_yaml(HOUSE.settings_model())
        assert "Number of visual words, K; auto: " in text
        assert "[auto or ≥ 2, ≤ 1000000]" in text
        assert "[one of frequency, size]" in text
        assert "[≥ 0, < 1]" in text

    def test_the_file_in_conf_is_the_commands_output(self):
        kept = (ROOT / "conf" / "minia.yaml").read_text(encoding="utf-8")
        assert kept == commented_yaml(HOUSE.settings_model()), "minia settings > conf/minia.yaml"

    def test_is_plain_yaml(self):
        told = yaml.safe_load(commented_yaml(HOUSE.settings_model()))
        assert set(told) == set(HOUSE.settings_model.model_fields)
