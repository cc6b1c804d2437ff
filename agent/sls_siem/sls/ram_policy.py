"""The least that a RAM policy must allow for one configuration, to be pasted into the RAM console.

Actions and resources: SLS developer reference, "RAM authorization" and "Authentication rules"; each action is that of
a call in `session.py`. Consume processors need no action of their own there.
"""

from __future__ import annotations

from sls_siem.config import SlsConfig

LOGSTORE_ACTIONS = ("log:ListShards", "log:GetCursorOrData")
OPTIONAL_LOGSTORE_ACTIONS = ("log:GetLogStore",)
"""Only for the retention in `check --connect` and the metrics."""
GROUPS_ACTIONS = ("log:ListConsumerGroup", "log:CreateConsumerGroup")
"""Asked for on all groups of the logstore: the group may not be there yet."""
GROUP_ACTIONS = (
    "log:ConsumerGroupHeartBeat",
    "log:ConsumerGroupUpdateCheckPoint",
    "log:GetConsumerGroupCheckPoint",
)


def ram_policy(config: SlsConfig) -> dict[str, object]:
    """Write the policy document.

    Args:
        config: table `[sls]`; the region narrows the policy where it is known. The account's number is not known here
            and stands as `*`, which is the account that the policy belongs to.
    """
    logstore = f"acs:log:{config.region or '*'}:*:project/{config.project}/logstore/{config.logstore}"
    return {
        "Version": "1",
        "Statement": [
            _allow((*LOGSTORE_ACTIONS, *OPTIONAL_LOGSTORE_ACTIONS), logstore),
            _allow(GROUPS_ACTIONS, f"{logstore}/consumergroup/*"),
            _allow(GROUP_ACTIONS, f"{logstore}/consumergroup/{config.consumer_group}"),
        ],
    }


def _allow(actions: tuple[str, ...], resource: str) -> dict[str, object]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": [resource]}
