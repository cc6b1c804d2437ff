"""What the encoders of a configuration have to know, with the secret that one of its keys may need."""

from __future__ import annotations

import dataclasses
import os
from typing import Optional

from sls_siem.codec import EncoderSettings, settings_from
from sls_siem.config import Config
from sls_siem.config.secrets import FIELD_HASH_KEY, find_secret, why_absent
from sls_siem.errors import ConfigError


def encoder_settings(config: Config, *, replay: bool = False) -> EncoderSettings:
    """Take what an encoder needs from a configuration that has been checked.

    Args:
        config: with every default filled in.
        replay: mark every event as sent again on purpose.

    Raises:
        ConfigError: fields are to be hashed, and the key for it is missing or too short.
    """
    return settings_from(config, replay=replay, hash_key=_hash_key(config))


def _hash_key(config: Config) -> Optional[str]:
    if not config.fields.hash:
        return None
    file = config.fields.hash_key_file
    key = find_secret(FIELD_HASH_KEY, file=file, environ=os.environ)
    if key is None:
        why = why_absent(FIELD_HASH_KEY, file=file, environ=os.environ)
        hint = "make one with `openssl rand -hex 32`"
        raise ConfigError([f"fields.hash: the secret {FIELD_HASH_KEY} is missing, {why}, {hint}"])
    return key.reveal()


def without_transform(settings: EncoderSettings) -> EncoderSettings:
    """Settings for the agent's own notices, which no filter may leave out."""
    return dataclasses.replace(settings, transform=None)
