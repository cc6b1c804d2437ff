"""The ready maps: each turns a log of its kind into names that the vendors know."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path

import pytest

from sls_siem.codec import settings_from
from sls_siem.config import load
from sls_siem.config.maps import MAPS, read_map
from tests.unit.codec.building import batch, group, log, pieces
from tests.unit.codec.vendor_formats import Event, parse_cef, parse_leef

# Keys of the ArcSight extension dictionary that a device may send, and those of IBM's predefined attributes.
CEF_KEYS = """
    act app cat cnt destinationDnsDomain destinationServiceName deviceDirection deviceExternalId deviceFacility dhost
    dmac dpid dpriv dproc dpt dst duid duser dvc dvchost dvcpid end fileHash fileId filePath filePermission fileType
    fname fsize in msg out outcome proto reason request requestClientApplication requestContext requestCookies
    requestMethod shost smac sourceServiceName spid spriv sproc spt src start suid suser type cs1 cs2 cs3 cs4 cs5 cs6
    cn1 cn2 cn3 cfp1 cfp2 cfp3 cfp4 c6a1 c6a2 c6a3 c6a4 flexString1 flexString2 deviceCustomDate1 deviceCustomDate2
"""
LEEF_ADDRESSES = {"src", "dst", "srcPreNAT", "dstPreNAT", "srcPostNAT", "dstPostNAT", "identSrc", "vSrc"}
LEEF_NUMBERS = {"srcPort", "dstPort", "sev", "srcBytes", "dstBytes", "srcPackets", "dstPackets", "totalPackets"}

TRAIL = {
    "eventName": "CreateUser",
    "eventRW": "Write",
    "eventType": "ApiCall",
    "sourceIpAddress": "192.0.2.7",
    "userIdentity": {"userName": "alice", "type": "ram-user", "accessKeyId": "LTAI****"},
    "errorMessage": "a=b|c\nd",
}
AUDIT = {
    "user": json.dumps({"username": "system:admin", "groups": ["system:masters"]}),
    "sourceIPs": '["192.0.2.9","198.51.100.1"]',
    "objectRef": '{"resource":"pods","namespace":"default","name":"web-1"}',
    "responseStatus": '{"metadata":{},"code":201}',
    "verb": "create",
    "requestURI": "/api/v1/namespaces/default/pods?dryRun=All",
}
SAMPLES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str], tuple[str, str, str]]] = {
    # name: the log, some CEF fields, some LEEF fields, and event id, name and severity of CEF.
    "actiontrail": (
        {"event": json.dumps(TRAIL), "__topic__": "actiontrail_audit_event"},
        {"src": "192.0.2.7", "suser": "alice", "cs6": "Write", "cs6Label": "event.eventRW", "reason": "a=b|c\nd"},
        {"src": "192.0.2.7", "usrName": "alice", "role": "ram-user", "errorMessage": "a=b|c d"},
        ("CreateUser", "CreateUser", "5"),
    ),
    "waf": (
        {"real_client_ip": "192.0.2.1", "final_action": "block", "final_plugin": "waf", "status": "405", "host": "a.b"},
        {"src": "192.0.2.1", "act": "block", "cn1": "405", "cn1Label": "status", "dhost": "a.b"},
        {"src": "192.0.2.1", "action": "block", "status": "405", "domain": "a.b", "cat": "waf"},
        ("-", "WAF waf", "8"),
    ),
    "cloud-firewall": (
        {"src_ip": "192.0.2.1", "dst_ip": "192.0.2.2", "dst_port": "443", "rule_result": "drop", "log_type": "nat"},
        {"src": "192.0.2.1", "dst": "192.0.2.2", "dpt": "443", "act": "drop"},
        {"src": "192.0.2.1", "dst": "192.0.2.2", "dstPort": "443", "cat": "drop"},
        ("nat", "Cloud Firewall drop", "7"),
    ),
    "security-center": (
        {"__topic__": "sas-security-log", "name": "Webshell", "level": "serious", "uuid": "u-1", "detail": '{"a":"="}'},
        {"cat": "sas-security-log", "cs1": "u-1", "cs2": "serious", "msg": '{"a":"="}'},
        {"alertName": "Webshell", "cat": "serious", "resource": "u-1", "detail": '{"a":"="}'},
        ("sas-security-log", "Webshell", "9"),
    ),
    "slb": (
        {"client_ip": "192.0.2.1", "client_port": "5000", "status": "502", "slbid": "lb-1", "http_referer": "-"},
        {"src": "192.0.2.1", "spt": "5000", "cn1": "502", "cs1": "lb-1"},
        {"src": "192.0.2.1", "srcPort": "5000", "resource": "lb-1"},
        ("502", "HTTP 502", "2"),
    ),
    "alb": (
        {"client_ip": "192.0.2.1", "status": "200", "app_lb_id": "alb-1", "request_uri": "/a?b=c"},
        {"src": "192.0.2.1", "cs1": "alb-1", "request": "/a?b=c"},
        {"src": "192.0.2.1", "resource": "alb-1", "url": "/a?b=c"},
        ("200", "HTTP 200", "2"),
    ),
    "oss": (
        {"client_ip": "192.0.2.1", "operation": "PutObject", "bucket": "b", "User-Agent": "curl", "http_status": "200"},
        {"src": "192.0.2.1", "act": "PutObject", "cs1": "b", "requestClientApplication": "curl"},
        {"src": "192.0.2.1", "resource": "b", "userAgent": "curl", "cat": "200"},
        ("PutObject", "PutObject", "3"),
    ),
    "vpc-flow": (
        {"srcaddr": "192.0.2.1", "dstaddr": "192.0.2.2", "dstport": "22", "action": "REJECT", "vpc-id": "vpc-1"},
        {"src": "192.0.2.1", "dst": "192.0.2.2", "dpt": "22", "act": "REJECT", "cs1": "vpc-1", "cs1Label": "vpc-id"},
        {"src": "192.0.2.1", "dst": "192.0.2.2", "dstPort": "22", "vpcId": "vpc-1"},
        ("REJECT", "VPC flow REJECT", "5"),
    ),
    "k8s-audit": (
        AUDIT,
        {"src": "192.0.2.9", "suser": "system:admin", "cs1": "pods", "cs3": "web-1", "cn1": "201"},
        {"src": "192.0.2.9", "usrName": "system:admin", "cat": "pods", "responseCode": "201"},
        ("create", "create pods", "5"),
    ),
}


def shipped(folder: Path, profile: str, name: str) -> bytes:
    """Encode the sample with a real configuration, and take the message out of its frame."""
    (folder / "agent.toml").write_text(
        '[sls]\nendpoint = "cn-hangzhou.log.aliyuncs.com"\nproject = "p1"\nlogstore = "s"\nconsumer_group = "g"\n'
        f'[siem]\nprofile = "{profile}"\nmap = "{name}"\n[syslog]\nurl = "tls://siem:6514"\nhostname = "h"\n'
    )
    fields = dict(SAMPLES[name][0])
    topic = fields.pop("__topic__", None)
    one = group(
        log(*((key.encode(), value.encode()) for key, value in fields.items())),
        topic=None if topic is None else topic.encode(),
    )
    (frame,) = pieces(settings_from(load(folder / "agent.toml", 1, {})), batch(one))
    header = re.match(rb"<\d{1,3}>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d h ", frame)
    assert header
    return frame[header.end() : -1]


def contains(event: Event, expected: dict[str, str]) -> None:
    assert {key: event.fields.get(key) for key in expected} == expected


@pytest.mark.parametrize("name", MAPS)
def test_a_log_becomes_cef(name: str, tmp_path: Path) -> None:
    event = parse_cef(shipped(tmp_path, "arcsight", name))

    contains(event, SAMPLES[name][1])
    assert event.header[3:] == SAMPLES[name][3]
    assert "msg" not in event.fields or name == "security-center"


@pytest.mark.parametrize("name", MAPS)
def test_a_log_becomes_leef(name: str, tmp_path: Path) -> None:
    event = parse_leef(shipped(tmp_path, "qradar", name))

    contains(event, {**SAMPLES[name][2], "sls_id": "3-1000-0"})
    for key, value in event.pairs:
        if key in LEEF_ADDRESSES:
            assert ipaddress.ip_address(value)
        assert key not in LEEF_NUMBERS or value.isdigit()


@pytest.mark.parametrize("name", MAPS)
def test_a_map_uses_only_keys_of_the_dictionary(name: str) -> None:
    document = read_map(name)

    assert set(document["cef"]["fields"]) <= set(CEF_KEYS.split())
    assert len(set(document["cef"]["fields"].values())) >= len(document["cef"]["fields"]) - 2
    assert {"src", "usrName", "url", "dst"} & set(document["leef"]["fields"])
