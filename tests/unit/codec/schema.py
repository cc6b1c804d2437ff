"""The schema of LogGroupList for protobuf's own library, every string as bytes: the independent reader and writer.

The SDK's generated classes declare most strings as text and so cannot build the invalid UTF-8 that does arrive.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_UINT32, _FIXED32, _BYTES, _MESSAGE = 13, 7, 12, 11
_OPTIONAL, _REQUIRED, _REPEATED = 1, 2, 3
_FIELDS: dict[str, list[tuple[str, int, int, int, str]]] = {
    "Content": [("Key", 1, _REQUIRED, _BYTES, ""), ("Value", 2, _REQUIRED, _BYTES, "")],
    "LogTag": [("Key", 1, _REQUIRED, _BYTES, ""), ("Value", 2, _REQUIRED, _BYTES, "")],
    "Log": [
        ("Time", 1, _REQUIRED, _UINT32, ""),
        ("Contents", 2, _REPEATED, _MESSAGE, "Content"),
        ("Time_ns", 4, _OPTIONAL, _FIXED32, ""),
    ],
    "LogGroup": [
        ("Logs", 1, _REPEATED, _MESSAGE, "Log"),
        ("Reserved", 2, _OPTIONAL, _BYTES, ""),
        ("Topic", 3, _OPTIONAL, _BYTES, ""),
        ("Source", 4, _OPTIONAL, _BYTES, ""),
        ("MachineUUID", 5, _OPTIONAL, _BYTES, ""),
        ("LogTags", 6, _REPEATED, _MESSAGE, "LogTag"),
    ],
    "LogGroupList": [("LogGroups", 1, _REPEATED, _MESSAGE, "LogGroup")],
}


def _log_group_list() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="codec_tests.proto", package="codec_tests", syntax="proto2")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field_name, number, label, kind, inner in fields:
            field = message.field.add(name=field_name, number=number, label=label, type=kind)
            if inner:
                field.type_name = f".codec_tests.{inner}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("codec_tests.LogGroupList"))


LogGroupList = _log_group_list()
