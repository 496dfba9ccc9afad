"""What every room has to keep to, whatever it is: from the list of rooms, no name stands here."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import replace
from pathlib import Path

import layers
import pytest

from minia_spark.base.settings import StageSettings
from minia_spark.cli.parser import commands_of
from minia_spark.engine.cost import Cost, Sizes, cost_of
from minia_spark.engine.room import House, Room
from minia_spark.engine.settings import LINES
from minia_spark.engine.stage import Stage, load
from minia_spark.engine.table import Artefact, Column, Table, arrow_type, spark_type
from minia_spark.rooms import HOUSE

PACKAGE = Path(__file__).resolve().parents[2] / "minia_spark"
SETTINGS = HOUSE.load_settings()


def of_stage(stage: Stage) -> str:
    return stage.name


class TestRooms:
    @pytest.mark.parametrize("room", HOUSE.rooms, ids=lambda room: room.name)
    def test_same_roles_same_file_names(self, room):
        folder = PACKAGE / room.name
        many = (folder / "stages").is_dir()  # a module a stage, where one file would be long
        assert ((folder / "stage.py").is_file() or many) == bool(room.stages)
        assert (folder / "cost.py").is_file() == bool(room.stages)
        assert (folder / "settings.py").is_file() == bool(room.settings)
        if any(isinstance(output, Table) for output in room.outputs):
            assert (folder / "tables.py").is_file()
        assert importlib.import_module(f"minia_spark.{room.name}").ROOM is room

    @pytest.mark.parametrize("room", HOUSE.rooms, ids=lambda room: room.name)
    def test_a_declaration_costs_nothing(self, room):
        """Neither Spark nor NumPy nor OpenCV comes with it."""
        text = (PACKAGE / room.name / "__init__.py").read_text()
        assert "pyspark" not in text
        assert ".stage import" not in text.replace("minia_spark.engine.stage import", "")

    def test_every_folder_is_in_a_layer(self):
        assert layers.packages() == set()

    def test_imports_point_down(self):
        assert layers.upward_imports() == []

    def test_imports_run_in_no_circle(self):
        assert layers.circles() == []


class TestStages:
    @pytest.mark.parametrize("stage", HOUSE.stages, ids=of_stage)
    def test_what_it_names_is_there(self, stage):
        assert stage.line in LINES
        assert stage.command_name in HOUSE.stage_commands
        places = (stage.run, stage.digest, stage.rows, stage.kernel, stage.check, stage.wants_anew)
        for place in filter(None, (*places, stage.cost)):
            assert load(place) is not None
        assert list(inspect.signature(load(stage.run)).parameters) == ["context"]

    @pytest.mark.parametrize("stage", HOUSE.stages, ids=of_stage)
    def test_it_has_a_cost_law_that_grows_with_the_images(self, stage):
        source = HOUSE.variants_of(stage)  # by default it may run for none of its variants
        chosen = HOUSE.variants(stage, SETTINGS) or source.names
        sizes = Sizes(100, 1e5, 50.0, 2, SETTINGS, chosen[0])
        small, large = cost_of(stage, sizes), cost_of(stage, replace(sizes, images=10**7))
        assert isinstance(small, Cost)
        assert small.written_bytes > 0
        assert large.core_seconds >= small.core_seconds
        assert large.seconds(2) >= small.seconds(2) > 0

    def test_a_stage_without_a_law_is_no_silent_zero(self):
        stage = replace(HOUSE.stages[0], cost="")
        with pytest.raises(Exception, match="declares no cost law"):
            cost_of(stage, Sizes(1, 1, 1, 1, SETTINGS))

    @pytest.mark.parametrize("stage", HOUSE.stages, ids=of_stage)
    def test_its_settings_are_declared_fields(self, stage):
        for model, names in stage.allowed(SETTINGS).items():
            assert names <= set(model.model_fields)
            assert SETTINGS.of(model) is not None

    @pytest.mark.parametrize("stage", HOUSE.stages, ids=of_stage)
    def test_writers_declare_what_they_write(self, stage):
        assert stage.writes
        for output in (*stage.inputs, *stage.writes):
            assert HOUSE.outputs[output.name] is output

    def test_order_follows_from_what_they_read(self):
        # what no stage writes, people do: it is there or not before a run begins
        made = {name for name, output in HOUSE.outputs.items() if not HOUSE.producers(output)}
        assert made == {"structure_names"}
        for stage in HOUSE.stages:
            own = {output.name for output in stage.writes}
            assert {output.name for output in stage.inputs} <= made | own
            made |= own


class TestTables:
    @pytest.mark.parametrize("table", HOUSE.tables(), ids=lambda table: table.name)
    def test_every_column_has_a_sentence(self, table):
        assert table.row
        names = [column.name for column in table.all_columns]
        assert len(set(names)) == len(names)
        for column in table.all_columns:
            assert column.about.endswith("."), column.name
            assert spark_type(column.type) is not None
            assert arrow_type(column.type) is not None

    @pytest.mark.parametrize("ending", ["_px", "_deg", "_bytes"])
    def test_names_with_units_have_the_unit(self, ending):
        units = {"_px": "pixels", "_deg": "degrees", "_bytes": "bytes"}
        for table in HOUSE.tables():
            for column in table.columns:
                if column.name.endswith(ending):
                    assert column.unit == units[ending], f"{table.name}.{column.name}"


class TestSettings:
    @pytest.mark.parametrize(("section", "model"), HOUSE.sections.items(), ids=str)
    def test_every_setting_has_a_sentence(self, section, model):
        def walk(model: type[StageSettings]) -> None:
            for name, field in model.model_fields.items():
                below = field.annotation
                if isinstance(below, type) and issubclass(below, StageSettings):
                    walk(below)
                else:
                    assert field.description, f"{section}.{name}"
                    assert field.description.endswith("."), f"{section}.{name}"

        assert model.__doc__
        walk(model)


class TestCommands:
    def test_every_name_once(self):
        names = [name for c in commands_of(HOUSE) for name in (c.name, *c.aliases)]
        assert len(set(names)) == len(names)

    @pytest.mark.parametrize("command", commands_of(HOUSE), ids=lambda command: command.name)
    def test_what_it_names_is_there(self, command):
        assert callable(load(command.handler))
        if command.arguments:
            assert callable(load(command.arguments))
        assert command.about
        assert not command.about.endswith(".")


def _stage(name: str, reads=(), writes=(), **more) -> Stage:
    return Stage(name, "does nothing", "discovery", "collection", "x:y", reads, writes, **more)


def _table(name: str, **more) -> Table:
    return Table(name, "a row", (Column("n", "int", "A number."),), **more)


class TestHouse:
    """By hand: what a house refuses, and what follows from declarations."""

    def test_stages_come_after_those_they_read(self):
        a, b = _table("a"), _table("b")
        room = Room(
            "r", "", outputs=(a, b), stages=(_stage("two", (a,), (b,)), _stage("one", (), (a,)))
        )
        assert [stage.name for stage in House((room,)).stages] == ["one", "two"]

    def test_a_circle(self):
        a, b = _table("a"), _table("b")
        stages = (_stage("one", (b,), (a,)), _stage("two", (a,), (b,)))
        with pytest.raises(ValueError, match="in a circle: one, two"):
            House((Room("r", "", outputs=(a, b), stages=stages),))

    def test_what_nobody_writes(self):
        room = Room("r", "", stages=(_stage("one", (_table("a"),)),))
        with pytest.raises(ValueError, match="stage one reads a, which no stage writes"):
            House((room,))

    def test_one_name_for_two_things(self):
        rooms = [
            Room(n, "", outputs=(Artefact("a", about),)) for n, about in (("r", "x"), ("s", "y"))
        ]
        with pytest.raises(ValueError, match="two rooms declare the table 'a'"):
            House(rooms)

    def test_no_such_line(self):
        with pytest.raises(Exception, match="there is no line 'nowhere'; lines: discovery"):
            HOUSE.stages_of(["nowhere"])
