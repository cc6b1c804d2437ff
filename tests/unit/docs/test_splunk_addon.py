"""The Splunk add-on: in step with the ready maps, and right by the syntax of Splunk's configuration files."""

from __future__ import annotations

import re

import pytest

from tests.splunk_addon import FOLDER, files

# What these files may set (props.conf.spec, transforms.conf.spec, eventtypes.conf.spec, tags.conf.spec, app.conf.spec).
SETTINGS = {
    "default/props.conf": r"SHOULD_LINEMERGE|LINE_BREAKER|TRUNCATE|KV_MODE|TIME_PREFIX|TIME_FORMAT"
    r"|MAX_TIMESTAMP_LOOKAHEAD|(?:TRANSFORMS|FIELDALIAS|EVAL)-\w+",
    "default/transforms.conf": "REGEX|FORMAT|DEST_KEY",
    "default/eventtypes.conf": "search",
    "default/tags.conf": "[a-z_]+",
    "default/app.conf": "is_configured|id|is_visible|label|author|description|version",
    "metadata/default.meta": "access|export",
}
Conf = dict[str, dict[str, str]]


def parse(name: str) -> Conf:
    """Read a file as Splunk does, and refuse what it would pass over silently."""
    stanzas: Conf = {}
    text = (FOLDER / name).read_bytes().decode("ascii")
    assert text.endswith("\n")
    for line in text.splitlines():
        assert not line.endswith("\\"), line  # it would go on with the next line
        assert line == line.strip()
        header = re.fullmatch(r"\[(.*)\]", line)
        if header:
            assert header[1] not in stanzas, line
            current = stanzas.setdefault(header[1], {})
        elif line and not line.startswith("#"):
            key, equals, value = line.partition(" = ")
            assert equals, line
            assert value, line
            assert re.fullmatch(SETTINGS[name], key), (name, key)
            assert key not in current, line
            current[key] = value
    return stanzas


@pytest.mark.parametrize("name", files())
def test_the_add_on_is_what_the_maps_make_of_it(name: str) -> None:
    assert files()[name] == (FOLDER / name).read_text(encoding="utf-8")


def test_the_folder_holds_these_files_and_a_readme_only() -> None:
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}

    assert found == {*SETTINGS, "README.md"}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_line_is_a_stanza_or_a_known_setting(name: str) -> None:
    assert parse(name)


def test_routes_lead_from_topics_to_sourcetypes_that_exist() -> None:
    props, transforms = parse("default/props.conf"), parse("default/transforms.conf")
    routes = props["aliyun:sls"]["TRANSFORMS-aliyun_sourcetype"].split(", ")

    assert sorted(routes) == sorted(transforms)
    for route in transforms.values():
        assert route["DEST_KEY"] == "MetaData:Sourcetype"
        assert route["FORMAT"].partition("sourcetype::")[2] in props
        assert re.compile(route["REGEX"]).groups == 0
    trail = transforms["aliyun_actiontrail_sourcetype"]["REGEX"]
    assert re.search(trail, '{"__time__":1,"__topic__":"actiontrail_audit_event","event":{}}')
    assert not re.search(trail, '{"__time__":1,"__topic__":"actiontrail_audit_event_2"}')


def test_event_types_and_tags_belong_together() -> None:
    props, types, tags = parse("default/props.conf"), parse("default/eventtypes.conf"), parse("default/tags.conf")

    assert sorted(tags) == sorted(f"eventtype={name}" for name in types)
    assert all(value == "enabled" for tag in tags.values() for value in tag.values())
    for one in types.values():
        sourcetype = re.match(r'sourcetype="([^"]+)"', one["search"])
        assert sourcetype
        assert sourcetype[1] in props


def test_aliases_and_expressions_are_well_formed() -> None:
    for stanza in parse("default/props.conf").values():
        for key, value in stanza.items():
            kind, _, field = key.partition("-")
            if kind == "FIELDALIAS":
                assert re.fullmatch(rf'(?:\w+|"[\w.{{}}-]+") AS {field}', value), value
                assert not value.startswith(f"{field} ")
            elif kind == "EVAL":
                bare = re.sub(r'"[^"]*"|\'[^\']*\'', "", value)

                assert value.count('"') % 2 == value.count("'") % 2 == 0
                assert bare.count("(") == bare.count(")")
                assert f"FIELDALIAS-{field}" not in stanza


def test_every_json_event_is_found_whole_with_its_time() -> None:
    for stanza in parse("default/props.conf").values():
        prefix = re.compile(stanza["TIME_PREFIX"])
        event = '{"__time__":1433188255,"a":"b"}'
        found = prefix.search(event)

        assert found
        assert event[found.end() :][: int(stanza["MAX_TIMESTAMP_LOOKAHEAD"])] == "1433188255"
        assert re.split(stanza["LINE_BREAKER"], f"{event}\n{event}")[::2] == [event, event]
